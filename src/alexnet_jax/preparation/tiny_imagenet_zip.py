"""The official zip of Tiny ImageNet; images are read in place, nothing is unpacked."""

import re
import stat
import threading
import zipfile
import zlib
from collections import Counter
from pathlib import Path

from alexnet_jax.errors import UserError
from alexnet_jax.preparation.archive_members import check_member, check_unique
from alexnet_jax.preparation.source_images import Kept, Original, Originals, Split

ARCHIVE = "tiny-imagenet-200.zip"
PAGE = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_FOLDER = "tiny-imagenet-200"
_TRAIN_IMAGE = re.compile(rf"{_FOLDER}/train/(n\d{{8}})/images/\1_\d+\.JPEG")
_CLASSES = 200
_TRAIN_IMAGES = 500  # per class
_VALIDATION_IMAGES = 10_000
_MAX_ARCHIVE = 2**29  # bytes; the official one has 248 million
_MAX_MEMBER = 2**22  # bytes; the longest official one, words.txt, has 2.7 million
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,  # features of zip that Python does not know
)


def open_archive(path: Path) -> Originals:
    """Opens tiny-imagenet-200.zip: 100,000 train and 10,000 validation images.

    The classes are numbered in the order of their WordNet ids.

    Raises:
        UserError: the archive is damaged, cut off or a different one.
    """
    try:
        if path.stat().st_size > _MAX_ARCHIVE:
            raise ValueError(f"more than {_MAX_ARCHIVE:,} bytes")
        archive = zipfile.ZipFile(path)
        members = _members(archive)
        wnids = _wnids(archive, members)
        train = _train_images(members, wnids)
        validation = _validation_images(archive, members, wnids)
    except _DAMAGE as error:
        raise UserError(
            f"{path} is not Tiny ImageNet, or damaged ({error}): download {ARCHIVE} "
            f"again from {PAGE}."
        ) from error
    lock = threading.Lock()  # ZipFile counts its readers without one
    splits = {
        "train": _split(archive, train, lock),
        "validation": _split(archive, validation, lock),
    }
    remarks = ["the test images have no labels and are left out"]
    kept = Kept(image_size=64, encoding="jpeg", key="file_name")
    return Originals("tiny_imagenet", wnids, splits, remarks, kept)


def _members(archive: zipfile.ZipFile) -> set[str]:
    infos = archive.infolist()
    for info in infos:
        mode = info.external_attr >> 16  # 0 if it was not made on Unix
        is_plain = stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR)
        check_member(info.filename, is_plain=is_plain)
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
            raise ValueError(f"member {info.filename!r} is encrypted or not deflated")
        if info.file_size > _MAX_MEMBER:
            size = f"{info.file_size:,} bytes, more than {_MAX_MEMBER:,}"
            raise ValueError(f"member {info.filename!r} has {size}")
    names = [info.filename for info in infos]
    check_unique(names)
    return set(names)


def _lines(archive: zipfile.ZipFile, members: set[str], name: str) -> list[str]:
    if name not in members:
        raise ValueError(f"{name} is missing")
    return archive.read(name).decode().splitlines()


def _wnids(archive: zipfile.ZipFile, members: set[str]) -> list[str]:
    name = f"{_FOLDER}/wnids.txt"
    wnids = sorted(set(_lines(archive, members, name)))
    if len(wnids) != _CLASSES or not all(re.fullmatch(r"n\d{8}", n) for n in wnids):
        raise ValueError(f"{name} does not have {_CLASSES} WordNet ids")
    return wnids


def _train_images(members: set[str], wnids: list[str]) -> list[tuple[str, int]]:
    """Name and label of each training image."""
    matches = filter(None, map(_TRAIN_IMAGE.fullmatch, sorted(members)))
    images = [(match[0], match[1]) for match in matches]
    counts = Counter(wnid for _, wnid in images)
    for wnid in {*wnids, *counts}:
        expected = _TRAIN_IMAGES if wnid in wnids else 0
        if counts[wnid] != expected:
            found = f"{counts[wnid]} training images, not {expected}"
            raise ValueError(f"class {wnid} has {found}")
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    return [(name, label_of[wnid]) for name, wnid in images]


def _validation_images(
    archive: zipfile.ZipFile, members: set[str], wnids: list[str]
) -> list[tuple[str, int]]:
    """Name and label of each validation image, in the order of the annotations."""
    source = f"{_FOLDER}/val/val_annotations.txt"
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    images = []
    for line in _lines(archive, members, source):
        file, wnid, *_ = [*line.split("\t"), ""]
        name = f"{_FOLDER}/val/images/{file}"
        if name not in members:
            raise ValueError(f"{name} is missing")
        if wnid not in label_of:
            raise ValueError(f"{source} has class {wnid!r}, which wnids.txt lacks")
        images.append((name, label_of[wnid]))
    check_unique([name for name, _ in images])
    if len(images) != _VALIDATION_IMAGES:
        raise ValueError(
            f"{source} has {len(images):,} of {_VALIDATION_IMAGES:,} lines"
        )
    return images


def _split(
    archive: zipfile.ZipFile, images: list[tuple[str, int]], lock: threading.Lock
) -> Split:
    def read(index: int) -> Original:
        member, label = images[index]
        name = member.rpartition("/")[2]
        try:
            with lock:
                return Original(name, label, archive.read(member))
        except _DAMAGE as error:
            raise ValueError(f"{name}: {error}") from error

    return Split(len(images), read)
