"""A trained network: what predictions, features and figures are made from.

It comes from a run directory or from a weights file.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from alexnet_jax import columns, train_step
from alexnet_jax.config import Config
from alexnet_jax.data import class_names, image_statistics
from alexnet_jax.errors import UserError
from alexnet_jax.training import checkpoint, workdir
from alexnet_jax.weights import network_file


class Network(NamedTuple):
    """Parameters, and what they expect of an image."""

    name: str
    """What to call it: its run directory or file."""
    config: Config
    step: int | None
    """Updates that it has seen; none: not known."""
    params: Any
    """`{layer: {"kernel", "bias"}}`, float32."""
    mean_image: jax.Array
    """float32 `[size, size, 3]`, 0-255."""
    class_names: list[str] | None
    """Of its outputs, in their order; none if its dataset had no names."""


def read_config(path: Path) -> Config:
    """The configuration of a network.

    Args:
        path: a run directory or a weights file.

    Raises:
        UserError: there is none, or it is damaged.
    """
    return (
        network_file.read_config(path) if _is_file(path) else workdir.read_config(path)
    )


def load_network(path: Path, which: str, mesh: Mesh) -> Network:
    """A network on its devices; call it within `jax.set_mesh(mesh)`.

    Args:
        path: a run directory or a weights file.
        which: the checkpoint: "newest", "best" or a step. A file has one network.

    Raises:
        UserError: there is no such run, checkpoint or file.
    """
    return _of_file(path, which, mesh) if _is_file(path) else _of_run(path, which, mesh)


def _is_file(path: Path) -> bool:
    if path.is_file() and path.suffix != network_file.SUFFIX:
        raise UserError(
            f"{path} is neither a run directory nor a weights file "
            f"({network_file.SUFFIX}): make one by python -m alexnet_jax.convert "
            f"{path} {path.stem}{network_file.SUFFIX}"
        )
    return path.suffix == network_file.SUFFIX and not path.is_dir()


def _of_run(directory: Path, which: str, mesh: Mesh) -> Network:
    config = workdir.read_config(directory)
    abstract = train_step.abstract_train_state(config, mesh)
    step, state = checkpoint.read_state(directory / "checkpoints", abstract, which)
    mean_image = image_statistics.load(directory / image_statistics.FILE).mean_image
    placed = jax.device_put(mean_image, columns.replicated(mesh))
    names = class_names.read(directory)
    return Network(str(directory), config, step, state.params, placed, names)


def _of_file(path: Path, which: str, mesh: Mesh) -> Network:
    if which != "newest":
        raise UserError(
            f"--checkpoint {which}: {path} holds one network; leave the option out."
        )
    found = network_file.read(path)
    return Network(
        name=str(path),
        config=found.config,
        step=found.step,
        params=jax.device_put(found.params, columns.state_sharding(mesh, found.params)),
        mean_image=jax.device_put(found.mean_image, columns.replicated(mesh)),
        class_names=found.class_names,
    )
