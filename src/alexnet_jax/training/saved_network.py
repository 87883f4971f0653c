"""Reads the network of a run directory or of a weights file."""

import hashlib
from pathlib import Path

from jax.sharding import Mesh

from alexnet_jax import train_step, trained
from alexnet_jax.config import Config
from alexnet_jax.data import class_names, image_statistics
from alexnet_jax.errors import UserError
from alexnet_jax.system import peers
from alexnet_jax.training import checkpoint_files, checkpoint_reading, workdir
from alexnet_jax.weights import network_file
from alexnet_jax.weights.network import Network


def read(path: Path, checkpoint: str, mesh: Mesh) -> Network:
    """Reads a network onto a mesh; call it within `jax.set_mesh(mesh)`.

    Args:
        path: see `trained.locate`.
        checkpoint: of a run directory; "newest", "best" or a step.

    Raises:
        UserError: the run, checkpoint or file does not exist or is damaged.
    """
    path = trained.locate(path)
    read_network = _of_file if is_file(path) else _of_run
    return read_network(path, checkpoint, mesh)


def read_config(path: Path) -> Config:
    """Reads the configuration of a network.

    Raises:
        UserError: the configuration is missing or damaged.
    """
    path = trained.locate(path)
    return (
        network_file.read_config(path) if is_file(path) else workdir.read_config(path)
    )


def agreed(path: Path, checkpoint: str) -> str:
    """The checkpoint that all processes of a run read; the first chooses it.

    All must call this before `read`, which places the network on the devices: there
    each waits for the others, whether they have it or not.

    Raises:
        UserError: it is missing, or another network in one of the processes.
    """
    here = peers.here()
    if here.count == 1:
        return checkpoint
    chosen = here.found_by_first(lambda: _choose(path, checkpoint))
    with here.together():
        own = checksum(path, chosen)
    here.refuse_differences(own, f"network in {path}")
    return chosen


def _choose(path: Path, checkpoint: str) -> str:
    """The step of the checkpoint that `read` would take; of a weights file as given."""
    path = trained.locate(path)
    if is_file(path):
        return checkpoint
    workdir.read_config(path)
    folder, _ = checkpoint_files.first_intact(
        path / "checkpoints", checkpoint, checkpoint_files.find_fault
    )
    return folder.name


def checksum(path: Path, checkpoint: str) -> str:
    """SHA-256 of a weights file, or of the list of checksums in a checkpoint.

    Raises:
        UserError: it is not there.
    """
    file = trained.locate(path)
    if not is_file(file):
        file = file / "checkpoints" / checkpoint / checkpoint_files.SEAL
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}).") from error


def is_file(path: Path) -> bool:
    """True for a weights file, False for a run directory; refuses other files."""
    if path.is_file() and path.suffix != network_file.SUFFIX:
        raise UserError(
            f"{path} is neither a run directory nor a weights file "
            f"({network_file.SUFFIX}): make one with python -m alexnet_jax.convert "
            f"{path} {path.stem}{network_file.SUFFIX}"
        )
    return path.suffix == network_file.SUFFIX and not path.is_dir()


def _of_run(directory: Path, which: str, mesh: Mesh) -> Network:
    config = workdir.read_config(directory)
    abstract = train_step.abstract_train_state(config, mesh)
    step, state = checkpoint_reading.read_state(
        directory / "checkpoints", abstract, which
    )
    statistics = image_statistics.load(directory / image_statistics.FILE)
    return Network(
        name=str(directory),
        config=config,
        step=step,
        params=state.params,
        mean_image=statistics.mean_image,
        class_names=class_names.read(directory),
    ).on_devices(mesh)


def _of_file(path: Path, which: str, mesh: Mesh) -> Network:
    if which != "newest":
        raise UserError(
            f"--checkpoint {which}: {path} holds one network; omit the option."
        )
    return network_file.read(path).on_devices(mesh)
