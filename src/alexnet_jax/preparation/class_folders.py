"""A tree of class folders, the layout of torchvision's ImageFolder and many others."""

import re
from pathlib import Path

from alexnet_jax.errors import UserError
from alexnet_jax.preparation.source_images import Original, Originals, Split

_SPLITS = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}


def open_folders(folder: Path) -> Originals:
    """Opens a folder of class folders, or of splits ("train", "val", "test") of them.

    Classes are numbered in the order of their names. Every file counts as an image,
    except for those whose name starts with a dot.

    Raises:
        UserError: there are no class folders with images.
    """
    parts = {_SPLITS[f.name]: f for f in _folders(folder) if f.name in _SPLITS}
    parts = parts or {"train": folder}
    names = sorted({f.name for part in parts.values() for f in _folders(part)})
    splits = {name: _folder_split(part, names) for name, part in parts.items()}
    if not names or not any(split.num_images for split in splits.values()):
        raise UserError(
            f"--source {folder} has no folders of classes "
            "with images in them (perhaps in train/ and val/)."
        )
    remarks = [
        f"no images in {parts[n]}" for n, s in splits.items() if not s.num_images
    ]
    splits = {name: split for name, split in splits.items() if split.num_images}
    # tfds requires a name of letters, digits and underscores.
    name = re.sub(r"\W", "_", folder.resolve().name.lower())
    return Originals(name, names, splits, remarks)


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."
    )


def _folder_split(folder: Path, class_names: list[str]) -> Split:
    files = [
        (path, class_names.index(part.name))
        for part in _folders(folder)
        for path in sorted(part.iterdir())
        if path.is_file() and path.name[0] != "."
    ]

    def read(index: int) -> Original:
        path, label = files[index]
        return Original(str(path.relative_to(folder)), label, path.read_bytes())

    return Split(len(files), read)
