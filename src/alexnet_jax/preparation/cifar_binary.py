"""The binary version of CIFAR-10; it is read into memory, nothing is unpacked.

A record is one byte of label and 3,072 bytes of pixels: 32x32 of red, then of green,
then of blue. A compressed tar has no random access, but its 184 MB fit in memory.
"""

import gzip
import io
import re
import tarfile
import zlib
from pathlib import Path

import numpy as np

from alexnet_jax.data import decoding
from alexnet_jax.errors import UserError
from alexnet_jax.preparation.archive_members import check_member, check_unique
from alexnet_jax.preparation.source_images import Kept, Original, Originals, Split

ARCHIVE = "cifar-10-binary.tar.gz"
PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_FOLDER = "cifar-10-batches-bin"
_CLASS_NAMES = f"{_FOLDER}/batches.meta.txt"
_BATCHES = {
    "train": [f"{_FOLDER}/data_batch_{number}.bin" for number in range(1, 6)],
    "test": [f"{_FOLDER}/test_batch.bin"],
}
_CLASSES = 10
_RECORDS = 10_000  # per batch
_SHAPE = 3, 32, 32  # channel, row, column
_RECORD = 1 + 3 * 32 * 32  # bytes
_LIMIT = 200_000_000  # bytes; the official archive has 184.4 million, uncompressed
_DAMAGE = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,  # headers of headers of headers
)


def open_archive(path: Path) -> Originals:
    """Opens cifar-10-binary.tar.gz: 50,000 train and 10,000 test images.

    Raises:
        UserError: the archive is damaged, cut off or a different one.
    """
    try:
        files = _files_in(path)
        class_names = _class_names(files)
        records = {
            split: np.concatenate([_records(files, name) for name in names])
            for split, names in _BATCHES.items()
        }
    except _DAMAGE as error:
        raise UserError(
            f"{path} is not the binary version of CIFAR-10, or damaged ({error}): "
            f"download {ARCHIVE} again from {PAGE}."
        ) from error
    splits = {name: _split(name, rows) for name, rows in records.items()}
    kept = Kept(image_size=_SHAPE[-1], encoding="png", key="id")
    return Originals("cifar10", class_names, splits, kept=kept)


def _files_in(path: Path) -> dict[str, bytes]:
    """The content of each file by its name."""
    with gzip.open(path) as compressed:
        content = compressed.read(_LIMIT + 1)
    if len(content) > _LIMIT:
        raise ValueError(f"more than {_LIMIT:,} bytes uncompressed")
    files = []
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        for member in tar:
            # A sparse file could have any size.
            is_file = member.isreg() and not member.issparse() and member.size >= 0
            check_member(member.name, is_plain=is_file or member.isdir())
            if stored := tar.extractfile(member):
                files.append((member.name, stored.read()))
    check_unique([name for name, _ in files])
    return dict(files)


def _file(files: dict[str, bytes], name: str) -> bytes:
    if name not in files:
        raise ValueError(f"{name} is missing")
    return files[name]


def _class_names(files: dict[str, bytes]) -> list[str]:
    names = _file(files, _CLASS_NAMES).decode().split()
    plain = all(re.fullmatch(r"\w+", name) for name in names)
    if not plain or len(names) != _CLASSES or len(set(names)) != _CLASSES:
        raise ValueError(f"{_CLASS_NAMES} does not have {_CLASSES} names")
    return names


def _records(files: dict[str, bytes], name: str) -> np.ndarray:
    """The records of a batch: uint8 `[records, _RECORD]`."""
    content = _file(files, name)
    if len(content) != _RECORDS * _RECORD:
        raise ValueError(
            f"{name} has {len(content):,} bytes, not {_RECORDS * _RECORD:,}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    if records[:, 0].max() >= _CLASSES:
        raise ValueError(
            f"{name} has label {records[:, 0].max()}, not 0 to {_CLASSES - 1}"
        )
    return records


def _split(name: str, records: np.ndarray) -> Split:
    def read(index: int) -> Original:
        label, pixels = records[index, 0], records[index, 1:].reshape(_SHAPE)
        encoded = decoding.encode_png(pixels.transpose(1, 2, 0))
        return Original(f"{name}_{index:05d}", int(label), encoded)  # tfds's ids

    return Split(len(records), read)
