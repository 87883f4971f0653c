"""Recognises what a source is, and opens it."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from alexnet_jax.errors import UserError
from alexnet_jax.preparation import (
    cifar_binary,
    class_folders,
    idx_files,
    imagenet_tars,
    tfds_source,
    tiny_imagenet_zip,
)
from alexnet_jax.preparation.source_images import Originals
from alexnet_jax.system.streams import print_line, printable

_NAMES = (
    *imagenet_tars.TARS,
    cifar_binary.ARCHIVE,
    tiny_imagenet_zip.ARCHIVE,
    *idx_files.NAMES,
)

Open = Callable[[], Originals]


def open_originals(source: str, data_dir: Path, devkit: Path | None) -> Originals:
    """Opens a file, a folder or a tfds dataset.

    Args:
        source: an archive, a folder that holds archives, a folder of class folders, or
            the name of a tfds dataset.

    Raises:
        UserError: it is none of these or several, or it is damaged.
    """
    path = Path(source).expanduser()
    archives = _archives(path, devkit)
    if devkit is not None and list(archives) != ["ImageNet"]:
        raise UserError(f"--devkit {devkit} is only for ImageNet's archives.")
    if len(archives) > 1:
        raise UserError(
            f"--source {source} holds archives of {' and '.join(archives)}: move all "
            "but one elsewhere, or name a file."
        )
    for open_archive in archives.values():
        print_line(printable(f"reading the archives in {path}"), sys.stdout)
        return open_archive()
    if path.is_dir():
        return class_folders.open_folders(path)
    if path.is_file():
        raise UserError(
            f"--source {source} is not known: the archives are {', '.join(_NAMES)}."
        )
    if path.is_absolute() or source.startswith((".", "~")):
        raise UserError(f"--source {source}: no such file or folder.")
    return tfds_source.open_tfds(source, data_dir)


def _archives(path: Path, devkit: Path | None) -> dict[str, Open]:
    """The datasets of which a file or folder has an archive."""
    files = [path / name for name in _NAMES] if path.is_dir() else [path]
    archives: dict[str, Open] = {}
    for file in filter(Path.is_file, files):
        if file.name in imagenet_tars.TARS:  # the other one belongs to it
            archives["ImageNet"] = partial(imagenet_tars.open_tars, file.parent, devkit)
        elif file.name in idx_files.NAMES:
            archives["MNIST"] = partial(idx_files.open_folder, file.parent)
        elif file.name.endswith(".zip"):
            archives["Tiny ImageNet"] = partial(tiny_imagenet_zip.open_archive, file)
        elif file.name.endswith((".tar.gz", ".tgz")):
            archives["CIFAR-10"] = partial(cifar_binary.open_archive, file)
    return archives
