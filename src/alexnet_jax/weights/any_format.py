"""Reads and writes a trained network in any format that we know."""

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from alexnet_jax.data import ilsvrc2012
from alexnet_jax.errors import UserError
from alexnet_jax.weights import (
    caffe,
    network_file,
    npz,
    safetensors_file,
    torch_file,
    torchvision,
)
from alexnet_jax.weights.network import Network

Writer = Callable[[Path, Network], None]

# By the end of the file's name.
_WRITERS: dict[str, Writer] = {
    network_file.SUFFIX: network_file.write,
    ".npz": npz.write,
    ".pth": torchvision.write_pth,
}
_WRITERS_OF_TORCHVISION: dict[str, Writer] = {
    network_file.SUFFIX: torchvision.write_safetensors,
    ".pth": torchvision.write_pth,
}

_CHECKSUM = "sha256"  # in the origin of what came from a file


class Hints(NamedTuple):
    """Facts the file itself may lack."""

    preset: caffe.Preset | None = None
    """Which of Caffe's two networks."""
    mean: Path | None = None
    """Caffe's mean image."""
    class_names: Path | None = None
    """A text, a name a line; none: those of ImageNet for a thousand classes."""
    checkpoint: str = "newest"
    """Of a run directory."""


def read(source: Path, hints: Hints) -> Network:
    """The network of a file.

    Raises:
        UserError: there is none; says what is wrong, and names what does not fit with
            both shapes.
    """
    if not source.is_file():
        raise UserError(f"{source} is not there.")
    _refuse_checkpoint(source, hints)
    return completed(_of_file(source, hints), source, hints)


def completed(network: Network, source: Path, hints: Hints) -> Network:
    """The network with checksum and class names; hints that do not fit are refused."""
    _refuse_caffe_hints(network, source, hints)
    return _named(_with_checksum(network, source), hints.class_names)


def _is_foreign(found: Network) -> bool:
    """Whether it has just been read from a format of others: it has no checksum yet."""
    return "network" in found.origin and _CHECKSUM not in found.origin


def _refuse_caffe_hints(found: Network, source: Path, hints: Hints) -> None:
    """What is said of Caffe's files is of no use for others, ours of them included."""
    of_caffe = _is_foreign(found) and found.origin["network"] in caffe.PRESETS
    if (hints.preset or hints.mean) and not of_caffe:
        given = f"--preset {hints.preset}" if hints.preset else f"--mean {hints.mean}"
        raise UserError(f"{given} is for weights of Caffe, and {source} holds others.")


def _refuse_checkpoint(source: Path, hints: Hints) -> None:
    if hints.checkpoint != Hints().checkpoint:
        raise UserError(
            f"--checkpoint {hints.checkpoint}: {source} is a file and holds one "
            "network; leave the option out."
        )


def _of_file(source: Path, hints: Hints) -> Network:
    readers = {
        ".safetensors": _of_safetensors,
        ".npz": _of_npz,
        ".npy": _of_npz,
        ".caffemodel": _of_caffemodel,
        ".pth": _of_pth,
        ".pt": _of_pth,
    }
    if source.suffix not in readers:
        raise UserError(
            f"{source}: the name should end in {', '.join(readers)}, or be a run "
            "directory."
        )
    return readers[source.suffix](source, hints)


def _of_safetensors(source: Path, hints: Hints) -> Network:
    arrays, texts = safetensors_file.read(source)
    if network_file.TEXT in texts:
        return network_file.from_arrays(source, arrays, texts[network_file.TEXT])
    if torchvision.is_state(arrays):
        found = torchvision.to_weights(source, arrays, form="PyTorch, .safetensors")
        torchvision.check_texts(source, found, texts)
        return found
    named = npz.of_caffe(source, arrays)
    form = "Caffe's, .safetensors"
    return caffe.of_arrays(source, named, hints.preset, hints.mean, form=form)


def _of_npz(source: Path, hints: Hints) -> Network:
    arrays = npz.read(source)
    if npz.is_ours(arrays):
        return npz.to_weights(source, arrays)
    if torchvision.is_state(arrays):
        return torchvision.to_weights(source, arrays, form="PyTorch, .npz")
    named = npz.of_caffe(source, arrays)
    return caffe.of_arrays(source, named, hints.preset, hints.mean, form="Caffe, .npz")


def _of_caffemodel(source: Path, hints: Hints) -> Network:
    return caffe.of_caffemodel(source, hints.preset, hints.mean)


def _of_pth(source: Path, hints: Hints) -> Network:
    return torchvision.to_weights(source, torch_file.read(source), form="PyTorch, .pth")


def _with_checksum(found: Network, source: Path) -> Network:
    """Notes the file; what is ours tells of its origin already."""
    if not _is_foreign(found):
        return found
    with source.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    origin = found.origin | {"file": source.name, _CHECKSUM: checksum}
    return dataclasses.replace(found, origin=origin)


def _named(found: Network, path: Path | None) -> Network:
    names = found.class_names
    classes = found.config.model.num_classes
    if path is not None:
        names = _read_names(path, classes)
    elif names is None and classes == len(ilsvrc2012.synsets()):
        names = ilsvrc2012.class_names()  # the order of Caffe and torchvision, too
    return dataclasses.replace(found, class_names=names)


def _read_names(path: Path, classes: int) -> list[str]:
    try:
        names = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--class-names {path} cannot be read ({error}).") from error
    if len(names) != classes:
        raise UserError(
            f"--class-names {path} has {len(names)} lines, and the network {classes} "
            "classes."
        )
    return names


def writer(path: Path, *, as_torchvision: bool) -> Writer:
    """What writes a file of that name.

    Args:
        as_torchvision: with torchvision's names and layout; .pth always has them.

    Raises:
        UserError: there is no such format, the file is there already, or there is no
            place for it. So nothing long need be done first.
    """
    writers = _WRITERS_OF_TORCHVISION if as_torchvision else _WRITERS
    if path.suffix not in writers:
        raise UserError(f"{path}: the name should end in {', '.join(writers)}.")
    if path.exists():
        raise UserError(f"{path} is there already: delete it, or choose another name.")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path}: there is no folder for it that may be written to.")
    if path.suffix == ".pth":
        torch_file.check_installed(path)
    return writers[path.suffix]
