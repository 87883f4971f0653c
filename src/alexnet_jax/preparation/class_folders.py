"""A tree of class folders as a source to prepare."""

import re
from pathlib import Path

from alexnet_jax.data import class_folders, decoding
from alexnet_jax.data.class_folders import Labelled
from alexnet_jax.preparation.source_images import Original, Originals, Split


def open_folders(folder: Path) -> Originals:
    """Opens a folder of class folders, or of splits of them; see `data.class_folders`.

    Raises:
        UserError: there are no class folders with images.
    """
    tree = class_folders.read(folder, "--source")
    # tfds requires a name of letters, digits and underscores.
    name = re.sub(r"\W", "_", folder.resolve().name.lower())
    splits = {
        name: _split(files, tree.parts[name])
        for name, files in tree.splits.items()
        if files
    }
    empty = [
        f"no images in {tree.parts[n]}" for n, files in tree.splits.items() if not files
    ]
    return Originals(name, tree.class_names, splits, empty)


def _split(files: list[Labelled], folder: Path) -> Split:
    def read(index: int) -> Original:
        path, label = files[index]
        name = class_folders.name_in(path, folder)
        try:
            return Original(name, label, decoding.read_file(path))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    return Split(len(files), read)
