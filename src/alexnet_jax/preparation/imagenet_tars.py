"""The official ILSVRC 2012 tars; images are read in place, nothing is unpacked."""

import collections
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet_jax.data import decoding, ilsvrc2012
from alexnet_jax.errors import UserError
from alexnet_jax.preparation.archive_members import check_member
from alexnet_jax.preparation.source_images import Original, Originals, Split
from alexnet_jax.system.random_access import RandomAccessFile
from alexnet_jax.system.streams import printable

TRAIN_TAR = "ILSVRC2012_img_train.tar"
VALIDATION_TAR = "ILSVRC2012_img_val.tar"
TARS = (TRAIN_TAR, VALIDATION_TAR)
_VALIDATION_NAME = "ILSVRC2012_val_{:08d}.JPEG"
_REMEDY = "compare its checksum with the one on image-net.org and download it again"


class _Place(NamedTuple):
    """A file inside an archive."""

    name: str
    start: int
    size: int


def open_tars(folder: Path, devkit: Path | None) -> Originals:
    """Opens the official tars in a folder, either or both.

    Args:
        devkit: ILSVRC2012_devkit_t12.tar.gz, with the labels of the validation images.
            None means the labels that come with tfds.

    Raises:
        UserError: an archive is damaged, cut off or a different one.
    """
    splits, remarks = {}, []
    if (folder / TRAIN_TAR).is_file():
        splits["train"] = _train_tar(folder / TRAIN_TAR, remarks)
    if (folder / VALIDATION_TAR).is_file():
        labels = ilsvrc2012.validation_labels(devkit)
        splits["validation"] = _validation_tar(folder / VALIDATION_TAR, labels, remarks)
    for name, split in (("train", TRAIN_TAR), ("validation", VALIDATION_TAR)):
        if name not in splits:
            remarks.append(f"{split} is not in {folder}: no {name} split")
    return Originals("imagenet2012", ilsvrc2012.class_names(), splits, remarks)


def _train_tar(path: Path, remarks: list[str]) -> Split:
    label_of = {name: label for label, name in enumerate(ilsvrc2012.class_names())}
    places, labels = [], []
    counts = dict.fromkeys(label_of, 0)
    for synset in _files_in(path):
        wnid = synset.name.removesuffix(".tar")
        if wnid not in label_of:
            name = printable(synset.name)
            raise UserError(f"{path}: {name} is not a synset of ILSVRC 2012.")
        images = _files_in(path, synset.start, synset.size)
        places += images
        labels += [label_of[wnid]] * len(images)
        counts[wnid] += len(images)
    _refuse_repetitions(path, [place.name for place in places])
    remarks += _missing(len(places), counts)
    return _tar_split(path, places, np.array(labels, np.int32))


def _missing(num_images: int, counts: dict[str, int]) -> list[str]:
    """Describes what is missing from the training set, if anything."""
    if num_images == ilsvrc2012.TRAIN_IMAGES:
        return []
    short = [
        f"{synset.wnid} ({counts[synset.wnid]} of {synset.num_train_images})"
        for synset in ilsvrc2012.synsets()
        if counts[synset.wnid] != synset.num_train_images
    ]
    more = f" and {len(short) - 5} more" if len(short) > 5 else ""
    absent = sum(count == 0 for count in counts.values())
    return [
        f"training images: {num_images:,} of {ilsvrc2012.TRAIN_IMAGES:,}; {absent} "
        f"synsets have none; incomplete: {', '.join(short[:5])}{more}"
    ]


def _validation_tar(path: Path, labels: np.ndarray, remarks: list[str]) -> Split:
    places = sorted(_files_in(path))
    numbers = np.array([_validation_number(path, place.name) for place in places])
    _refuse_repetitions(path, [_VALIDATION_NAME.format(n) for n in numbers])
    if len(places) != ilsvrc2012.VALIDATION_IMAGES:
        absent = np.setdiff1d(np.arange(1, ilsvrc2012.VALIDATION_IMAGES + 1), numbers)
        remarks.append(
            f"validation images: {len(places):,} of {ilsvrc2012.VALIDATION_IMAGES:,}; "
            f"the first missing image is number {absent[0]}"
        )
    return _tar_split(path, places, labels[numbers - 1])


def _validation_number(path: Path, name: str) -> int:
    digits = re.fullmatch(r"(?:ILSVRC2012_val_)?(\d{1,8})(?:\.JPEG)?", name)
    number = int(digits[1]) if digits else 0
    if not 1 <= number <= ilsvrc2012.VALIDATION_IMAGES:
        raise UserError(
            f"{path}: {printable(name)} is not a validation image of ILSVRC 2012."
        )
    return number


def _refuse_repetitions(path: Path, names: Sequence[str]) -> None:
    """Raises UserError unless each image has a name of its own."""
    repeated = [name for name, n in collections.Counter(names).items() if n > 1]
    if repeated:
        raise UserError(
            f"{path} has {len(repeated)} names more than once "
            f"({printable(', '.join(repeated[:5]))}): {_REMEDY}."
        )


def _files_in(path: Path, start: int = 0, size: int | None = None) -> list[_Place]:
    """The files of an archive, or of one that begins at byte `start` of another.

    Raises:
        UserError: it is not an archive, or it ends before its last file does.
    """
    end = start + (path.stat().st_size if size is None else size)
    places = []
    try:
        with path.open("rb") as file:
            file.seek(start)
            for member in tarfile.open(fileobj=file, mode="r:"):
                if member.offset >= end:
                    break
                is_plain = member.isfile() or member.isdir()
                check_member(member.name, is_plain=is_plain)
                if member.isfile():
                    if member.size < 0 or member.offset_data + member.size > end:
                        raise tarfile.ReadError("unexpected end of data")
                    name = Path(member.name).name
                    places.append(_Place(name, member.offset_data, member.size))
        if not places:
            raise tarfile.ReadError("no files inside")
        return places
    except (
        tarfile.TarError,
        ValueError,
        OverflowError,
        EOFError,
        RecursionError,  # headers of headers of headers
    ) as error:
        raise UserError(
            f"{path} is damaged or cut off ({error}): {_REMEDY}."
        ) from error


def _tar_split(path: Path, places: list[_Place], labels: np.ndarray) -> Split:
    file = RandomAccessFile(path)

    def read(index: int) -> Original:
        place = places[index]
        decoding.check_bytes(place.size)
        encoded = file.read(place.start, place.size)
        return Original(place.name, int(labels[index]), encoded)

    return Split(len(places), read)
