"""The four idx files of MNIST, gzipped or not.

An idx file is a magic number, the length of each dimension (all big-endian), the bytes.
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from alexnet_jax.data import decoding
from alexnet_jax.errors import UserError
from alexnet_jax.preparation.source_images import Kept, Original, Originals, Split

PAGE = "https://yann.lecun.com/exdb/mnist/"
_PREFIXES = {"train": "train", "test": "t10k"}
_COUNTS = {"train": 60_000, "test": 10_000}
_IMAGES, _LABELS = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"
NAMES = [
    file.format(prefix) + ending
    for prefix in _PREFIXES.values()
    for file in (_IMAGES, _LABELS)
    for ending in ("", ".gz")
]
_SIDE = 28
_CLASSES = 10
_GZIP = b"\x1f\x8b"


def open_folder(folder: Path) -> Originals:
    """Opens a folder with the four files: 60,000 train and 10,000 test images.

    Raises:
        UserError: a file is missing, damaged or a different one.
    """
    splits = {split: _open_split(folder, split) for split in _PREFIXES}
    kept = Kept(image_size=_SIDE, channels=1, encoding="png", key="id")
    return Originals("mnist", [str(n) for n in range(_CLASSES)], splits, kept=kept)


def _open_split(folder: Path, split: str) -> Split:
    prefix, count = _PREFIXES[split], _COUNTS[split]
    images = _values(_find(folder, _IMAGES.format(prefix)), count, _SIDE, _SIDE)
    path = _find(folder, _LABELS.format(prefix))
    labels = _values(path, count)
    if labels.max() >= _CLASSES:
        why = f"label {labels.max()}, not 0 to {_CLASSES - 1}"
        raise UserError(_damaged(path, why))

    def read(index: int) -> Original:
        encoded = decoding.encode_png(images[index])
        return Original(f"{split}_{index:05d}", int(labels[index]), encoded)

    return Split(count, read)


def _find(folder: Path, name: str) -> Path:
    existing = [p for p in (folder / name, folder / f"{name}.gz") if p.is_file()]
    if not existing:
        raise UserError(
            f"{folder} has neither {name} nor {name}.gz: put the four files of MNIST "
            f"there ({PAGE})."
        )
    if len(existing) > 1:
        raise UserError(f"{folder} has {name} twice, once as .gz: move one away.")
    return existing[0]


def _values(path: Path, *shape: int) -> np.ndarray:
    """The content of a file that must have this shape: uint8."""
    magic = 0x800 + len(shape)
    header = struct.pack(f">{1 + len(shape)}I", magic, *shape)
    size = len(header) + int(np.prod(shape))
    try:
        content = _read(path, size + 1)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(_damaged(path, str(error))) from error
    if not content.startswith(header):
        wanted = " x ".join(map(str, shape))
        raise UserError(_damaged(path, f"its header is not that of {wanted} bytes"))
    if len(content) != size:
        more = "more" if len(content) > size else "fewer"
        raise UserError(_damaged(path, f"{more} than {size:,} bytes"))
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


def _read(path: Path, limit: int) -> bytes:
    """At most `limit` bytes. Browsers decompress some files without renaming them, so
    the content tells, not the name."""
    with path.open("rb") as file:
        is_gzip = file.read(len(_GZIP)) == _GZIP
    with gzip.open(path) if is_gzip else path.open("rb") as file:
        return file.read(limit)


def _damaged(path: Path, why: str) -> str:
    return f"{path} is not MNIST's, or damaged ({why}): download it again from {PAGE}."
