"""Reads and writes trained networks in every supported format."""

import dataclasses
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from alexnet_jax.data import ilsvrc2012
from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files
from alexnet_jax.weights import (
    caffe,
    exported,
    network_file,
    npz,
    onnx_file,
    safetensors_file,
    torch_file,
    torch_module,
    torchvision,
)
from alexnet_jax.weights.network import Network

Writer = Callable[[Path, Network], None]

# By file extension. A reader returns the arrays and the texts of a file.
_READERS = {
    ".safetensors": safetensors_file.read,
    ".npz": npz.read,
    ".npy": npz.read,
    ".pth": torch_file.read,
    ".pt": torch_file.read,
}
Form = Literal["ours", "torchvision", "torch_module", "with_input"]
"""Which of the forms of a format: ours is the usual one; torchvision has its names;
torch_module is a Python file; with_input takes uint8 images."""
_WRITERS: dict[Form, dict[str, Writer]] = {
    "ours": {
        network_file.SUFFIX: network_file.write,
        ".npz": npz.write,
        ".pth": torchvision.write_pth,
        onnx_file.SUFFIX: onnx_file.write,
        exported.SUFFIX: exported.write,
    },
    "torchvision": {
        network_file.SUFFIX: torchvision.write_safetensors,
        ".pth": torchvision.write_pth,
    },
    "torch_module": {torch_module.SUFFIX: torch_module.write},
    "with_input": {
        onnx_file.SUFFIX: partial(onnx_file.write, with_input=True),
        exported.SUFFIX: partial(exported.write, with_input=True),
    },
}
# By file extension: raises UserError if a format cannot be written.
_CHECKS: dict[str, Callable[[Path], object]] = {
    ".pth": torch_file.import_torch,
    onnx_file.SUFFIX: onnx_file.import_onnx,
    exported.SUFFIX: exported.check_flatbuffers,
    torch_module.SUFFIX: torch_module.check_names,
}

_CHECKSUM = "sha256"  # the key in `origin`


class Hints(NamedTuple):
    """Facts the file itself may lack."""

    preset: caffe.Preset | None = None
    """Which of Caffe's two networks; None if unknown."""
    mean: Path | None = None
    """Caffe's mean image. None means its mean colour."""
    class_names: Path | None = None
    """Text file, one name per line. None means those of ImageNet, if there are 1000
    classes without names."""
    checkpoint: str = "newest"
    """For run directories."""


def read(source: Path, hints: Hints) -> Network:
    """Reads the network in a file.

    Raises:
        UserError: the file is missing, damaged or of another network. Arrays that do
            not fit are named with both shapes.
    """
    if not source.is_file():
        raise UserError(f"{source} does not exist.")
    if hints.checkpoint != Hints().checkpoint:
        raise UserError(
            f"--checkpoint {hints.checkpoint}: {source} is a file and holds one "
            "network; omit the option."
        )
    return completed(_of_file(source, hints), source, hints)


def completed(network: Network, source: Path, hints: Hints) -> Network:
    """Adds checksum and class names.

    Refuses hints about Caffe's files for any other, converted networks included.
    """
    of_caffe = _is_foreign(network) and network.origin["network"] in caffe.PRESETS
    if (hints.preset or hints.mean) and not of_caffe:
        given = f"--preset {hints.preset}" if hints.preset else f"--mean {hints.mean}"
        raise UserError(f"{given} is for Caffe's weights, and {source} holds others.")
    return _named(_with_checksum(network, source), hints.class_names)


def _is_foreign(network: Network) -> bool:
    """True if just read from another library's format: it has no checksum yet."""
    return "network" in network.origin and _CHECKSUM not in network.origin


def _of_file(source: Path, hints: Hints) -> Network:
    if source.suffix == ".caffemodel":
        return caffe.of_caffemodel(source, hints.preset, hints.mean)
    if source.suffix not in _READERS:
        raise UserError(
            f"{source}: the name should end in {', '.join(_READERS)}, .caffemodel, or "
            "be that of a run directory."
        )
    arrays, texts = _READERS[source.suffix](source)
    if network_file.TEXT in texts:
        return network_file.from_arrays(source, arrays, texts[network_file.TEXT])
    if torch_module.TEXT in texts:
        raise UserError(
            f"{source} holds the weights of a PyTorch module that convert wrote: "
            "convert the network that it was made of."
        )
    if source.suffix in (".pth", ".pt") or torchvision.is_state(arrays):
        return torchvision.to_weights(source, arrays, texts)
    named = npz.of_caffe(source, arrays)
    form = f"Caffe's, {source.suffix}"
    return caffe.of_arrays(source, named, hints.preset, hints.mean, form=form)


def _with_checksum(network: Network, source: Path) -> Network:
    """Adds file name and checksum to the origin; our own files carry theirs."""
    if not _is_foreign(network):
        return network
    with source.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    origin = network.origin | {"file": source.name, _CHECKSUM: checksum}
    return dataclasses.replace(network, origin=origin)


def _named(network: Network, path: Path | None) -> Network:
    names = network.class_names
    classes = network.config.model.num_classes
    if network.last != "fc8":
        if path is not None:
            raise UserError(
                f"--class-names {path}: {network.name} ends with {network.last}, which "
                "has no classes; omit the option."
            )
        return network
    if path is not None:
        names = _read_names(path, classes)
    elif names is None and classes == len(ilsvrc2012.synsets()):
        names = ilsvrc2012.class_names()  # Caffe and torchvision use the same order
    return dataclasses.replace(network, class_names=names)


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


def writer(path: Path, form: Form) -> Writer:
    """The function that writes the format of `path`; checked before expensive work.

    Raises:
        UserError: the format is unknown or needs a package that is not installed, a
            file exists, or the folder is missing or not writable.
    """
    writers = _WRITERS[form]
    if path.suffix not in writers:
        option = "" if form == "ours" else f" with --{form.replace('_', '-')}"
        other = ", or in .py with --torch-module" if form == "ours" else ""
        raise UserError(
            f"{path}: the name should end in {', '.join(writers)}{option}{other}."
        )
    if path.exists():
        raise UserError(f"{path} already exists: delete it, or choose another name.")
    atomic_files.check_writable(path)
    if path.suffix in _CHECKS:
        _CHECKS[path.suffix](path)
    return writers[path.suffix]
