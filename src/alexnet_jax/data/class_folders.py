"""A tree of class folders, the layout of torchvision's ImageFolder and many others.

PATH/CLASS/image, or PATH/train/CLASS/image and the same in val/ or test/. Every file
counts as an image, except for those whose name starts with a dot.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alexnet_jax.config import Config, DataConfig
from alexnet_jax.data import decoding
from alexnet_jax.errors import UserError
from alexnet_jax.system.streams import printable

OPTION = "--data.folder"
_SPLITS = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}
_TO_EVALUATE = ("validation", "test")

Labelled = tuple[Path, int]
"""A file and the number of its class."""


class Tree(NamedTuple):
    """The files of class folders."""

    class_names: list[str]
    """In the order of their numbers, which is alphabetical."""
    parts: dict[str, Path]
    """The folder of each split."""
    splits: dict[str, list[Labelled]]

    def files(self, split: str) -> list[Labelled]:
        """Raises UserError if there is no such split; expressions are for datasets."""
        if split not in self.splits:
            raise UserError(
                f"{OPTION} has no split {split!r}: its splits are "
                f"{', '.join(self.splits)}."
            )
        return self.splits[split]


class Records(Sequence[dict[str, Any]]):
    """The files of a split as `Source.records`, read when they are asked for."""

    def __init__(self, files: Sequence[Labelled], folder: Path) -> None:
        self._files, self._folder = files, folder

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: Any) -> Any:
        path, label = self._files[index]
        name = name_in(path, self._folder)
        return {"image": decoding.read_file(path), "label": label, "file_name": name}


def read(folder: Path, option: str = OPTION) -> Tree:
    """Lists the files of a folder of class folders, or of splits ("train", "val",
    "test") of them.

    Raises:
        UserError: there are no class folders with images; names the option.
    """
    if not folder.is_dir():
        raise UserError(f"{option} {folder} is not a folder.")
    parts = _parts(folder, option)
    names = sorted({f.name for part in parts.values() for f in _folders(part)})
    _refuse_odd_names(folder, names, option)
    splits = {name: _files(part, names) for name, part in parts.items()}
    if not any(splits.values()):
        raise UserError(
            f"{option} {folder} has no folders of classes "
            "with images in them (perhaps in train/ and val/)."
        )
    return Tree(names, parts, splits)


def _parts(folder: Path, option: str) -> dict[str, Path]:
    """The folder of each split."""
    parts = {}
    for part in _folders(folder):
        split = _SPLITS.get(part.name)
        if split in parts:
            raise UserError(
                f"{option} {folder} has two folders for split {split}, "
                f"{parts[split].name} and {part.name}: move one of them away."
            )
        if split:
            parts[split] = part
    return parts or {"train": folder}


def _refuse_odd_names(folder: Path, names: list[str], option: str) -> None:
    """Refuses class names that the files of tfds, one name per line, do not keep."""
    for name in names:
        kept = name.encode(errors="replace").decode().strip()
        if name.splitlines() != [kept]:
            raise UserError(
                f"{option} {folder}: class folder {printable(name)!r} has a name that "
                "is not UTF-8, has line breaks, or spaces around it: rename it."
            )


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."
    )


def _files(folder: Path, class_names: list[str]) -> list[Labelled]:
    label_of = {name: label for label, name in enumerate(class_names)}
    return [
        (path, label_of[part.name])
        for part in _folders(folder)
        for path in sorted(part.iterdir())
        if not path.is_dir() and path.name[0] != "."
    ]


def name_in(path: Path, folder: Path) -> str:
    """The name of a file below a folder, printable whatever its bytes."""
    return str(path.relative_to(folder)).encode(errors="backslashreplace").decode()


def for_training(data: DataConfig) -> Tree:
    """The tree of `--data.folder`. If it has no images to evaluate on, `held_out` of
    each class become the split "validation": those whose names have the lowest digests,
    so that the choice depends on nothing else.

    Raises:
        UserError: there are no class folders, or nothing to train or to evaluate on.
    """
    folder = Path(str(data.folder)).expanduser()
    tree = read(folder)
    splits = {name: files for name, files in tree.splits.items() if files}
    if "train" in splits and len(splits) == 1:
        held_out = _held_out(splits["train"], data.held_out)
        splits["validation"] = sorted(held_out)
        splits["train"] = [file for file in splits["train"] if file not in held_out]
    for name, files in splits.items():
        if not files:
            raise UserError(
                f"{OPTION} {folder}: no images are left for {name} with "
                f"--data.held-out {data.held_out:g}: choose another fraction."
            )
    return tree._replace(splits=splits)


def _held_out(files: list[Labelled], fraction: float) -> set[Labelled]:
    """At least one image of each class that has several, unless the fraction is 0."""
    by_class: dict[int, list[Labelled]] = {}
    for file in sorted(files, key=_digest):
        by_class.setdefault(file[1], []).append(file)
    held_out = set()
    for of_class in by_class.values():
        count = max(round(fraction * len(of_class)), fraction > 0)
        held_out |= set(of_class[: min(count, len(of_class) - 1)])
    return held_out


def _digest(file: Labelled) -> bytes:
    return hashlib.sha256(file[0].name.encode(errors="surrogateescape")).digest()


def completed(config: Config) -> Config:
    """The configuration with the name of `--data.folder`, and with the one of
    validation and test that the tree has, if the wanted one is not there."""
    splits = for_training(config.data).splits
    folder = Path(str(config.data.folder)).expanduser().resolve()
    wanted = config.data.eval_split
    if wanted in _TO_EVALUATE and wanted not in splits:
        wanted = next((name for name in _TO_EVALUATE if name in splits), wanted)
    data = dataclasses.replace(
        config.data, name=folder.name, folder=str(folder), eval_split=wanted
    )
    return dataclasses.replace(config, data=data)
