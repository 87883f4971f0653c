"""A trained network: what predictions, features and figures are made from."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from alexnet_jax import (
    checkpoint,
    classes,
    columns,
    statistics,
    train_state,
    workdir,
)
from alexnet_jax.config import Config


class Network(NamedTuple):
    """Parameters, and what they expect of an image."""

    name: str
    """What to call it: its run directory."""
    config: Config
    step: int
    """Updates that it has seen."""
    params: Any
    """`{layer: {"kernel", "bias"}}`, float32."""
    mean_image: jax.Array
    """float32 `[size, size, 3]`, 0-255."""
    class_names: list[str] | None
    """Of its outputs, in their order; none if its dataset had no names."""


def load_network(directory: Path, which: str, mesh: Mesh) -> Network:
    """A network from its run directory; call it within `jax.set_mesh(mesh)`.

    Args:
        which: the checkpoint: "newest", "best" or a step.

    Raises:
        UserError: there is no such run or checkpoint.
    """
    config = workdir.read_config(directory)
    abstract = train_state.abstract_train_state(config, mesh)
    step, state = checkpoint.read_state(directory / "checkpoints", abstract, which)
    mean_image = statistics.load(directory / statistics.FILE).mean_image
    placed = jax.device_put(mean_image, columns.replicated(mesh))
    names = classes.read(directory)
    return Network(str(directory), config, step, state.params, placed, names)
