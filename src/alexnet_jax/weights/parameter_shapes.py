"""The shapes of a network's parameters, and checks of arrays against them."""

from collections.abc import Collection, Mapping
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
    return jax.tree.map(lambda leaf: leaf.shape, abstract)


def of_stored(
    expected: dict[str, dict[str, tuple[int, ...]]], stored: Collection[str]
) -> dict[str, dict[str, tuple[int, ...]]]:
    """The expected shapes up to the last layer that is stored: the later ones may be
    missing, as in a network that others cut off to compute features.

    Args:
        expected: by layer, in the order of the computation.
        stored: layers of which a file has any array.
    """
    layers = list(expected)
    known = [layers.index(layer) for layer in layers if layer in stored]
    end = max(known, default=len(layers) - 1) + 1
    return {layer: expected[layer] for layer in layers[:end]}


def check(
    path: Path,
    stored: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
) -> None:
    """Raises a UserError that names arrays missing, unknown or of another shape."""
    problems = []
    for name in [*expected, *(name for name in stored if name not in expected)]:
        if name not in stored:
            problems.append(f"{name} {list(expected[name])} is missing")
        elif name not in expected:
            problems.append(f"the network has no {name} {list(stored[name])}")
        elif tuple(stored[name]) != tuple(expected[name]):
            problems.append(
                f"{name} is {list(stored[name])} and should be {list(expected[name])}"
            )
    if problems:
        shown = problems[:20] + ["..."] * (len(problems) > 20)
        raise UserError(f"{path} does not fit the network:\n  " + "\n  ".join(shown))


def as_float32(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """The array as float32; raises UserError unless it holds finite floats."""
    # NumPy does not count bfloat16, a type of ml_dtypes, as floating.
    if array.dtype.kind != "f" and array.dtype.name not in ("bfloat16",):
        raise UserError(f"{path}: {name} is {array.dtype} and should be float32.")
    array = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"{path}: {name} holds values that are not finite.")
    return array
