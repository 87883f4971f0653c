"""A tree of class folders, the layout of torchvision's ImageFolder and many others."""

import re
from pathlib import Path

from alexnet_jax.data import decoding
from alexnet_jax.errors import UserError
from alexnet_jax.preparation.source_images import Original, Originals, Split
from alexnet_jax.system.streams import printable

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
    parts = _parts(folder)
    names = sorted({f.name for part in parts.values() for f in _folders(part)})
    _refuse_odd_names(folder, names)
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


def _parts(folder: Path) -> dict[str, Path]:
    """The folder of each split."""
    parts = {}
    for part in _folders(folder):
        split = _SPLITS.get(part.name)
        if split in parts:
            raise UserError(
                f"--source {folder} has two folders for split {split}, "
                f"{parts[split].name} and {part.name}: move one of them away."
            )
        if split:
            parts[split] = part
    return parts or {"train": folder}


def _refuse_odd_names(folder: Path, names: list[str]) -> None:
    """Refuses class names that the files of tfds, one name per line, do not keep."""
    for name in names:
        kept = name.encode(errors="replace").decode().strip()
        if name.splitlines() != [kept]:
            raise UserError(
                f"--source {folder}: class folder {printable(name)!r} has a name that "
                "is not UTF-8, has line breaks, or spaces around it: rename it."
            )


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."
    )


def _folder_split(folder: Path, class_names: list[str]) -> Split:
    files = [
        (path, class_names.index(part.name))
        for part in _folders(folder)
        for path in sorted(part.iterdir())
        if not path.is_dir() and path.name[0] != "."
    ]

    def read(index: int) -> Original:
        path, label = files[index]
        name = str(path.relative_to(folder)).encode(errors="backslashreplace").decode()
        try:
            return Original(name, label, decoding.read_file(path))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    return Split(len(files), read)
