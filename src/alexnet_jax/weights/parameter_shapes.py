"""The parameters that a network has, and whether arrays from a file fit them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alexnet_jax.config import Config
from alexnet_jax.errors import UserError
from alexnet_jax.model import AlexNet

Params = dict[str, dict[str, np.ndarray]]


def shapes(config: Config) -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes of the parameters, by layer and kind; nothing is computed."""
    size = config.augment.crop_size
    net = AlexNet(config.model)
    # One image for each part of the batch: by_column splits the batch over `data`.
    batch = jax.sharding.get_abstract_mesh().shape.get("data", 1)
    image = jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)
    abstract: Any = jax.eval_shape(
        partial(net.init, train=False), jax.random.key(0), image
    )["params"]
    return {
        layer: {kind: leaf.shape for kind, leaf in abstract[layer].items()}
        for layer in abstract
    }


def check(
    path: Path,
    found: Mapping[str, tuple[int, ...]],
    wanted: Mapping[str, tuple[int, ...]],
) -> None:
    """Raises UserError that names what is missing, too much, or of another shape."""
    problems = []
    for name in [*wanted, *(name for name in found if name not in wanted)]:
        if name not in found:
            problems.append(f"{name} {list(wanted[name])} is not there")
        elif name not in wanted:
            problems.append(f"the network has no {name} {list(found[name])}")
        elif tuple(found[name]) != tuple(wanted[name]):
            problems.append(
                f"{name} is {list(found[name])} and should be {list(wanted[name])}"
            )
    if problems:
        shown = problems[:20] + ["..."] * (len(problems) > 20)
        raise UserError(f"{path} does not fit the network:\n  " + "\n  ".join(shown))


def as_float32(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """The array in the type of parameters; raises UserError unless it holds numbers."""
    # The narrow types of ml_dtypes are no floating types to numpy.
    if array.dtype.kind != "f" and array.dtype.name not in ("bfloat16",):
        raise UserError(f"{path}: {name} is of {array.dtype} and should be float32.")
    array = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"{path}: {name} holds values that are no finite numbers.")
    return array
