"""One split of a dataset with random access, as squares of uint8 pixels.

The pixels come from encoded records, decoded on the fly; from files of raw pixels that
`prepare --raw` wrote beside the records; or, for a small split, from memory after the
first decoding. All three give the same pixels.
"""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.config import DataConfig
from alexnet_jax.data import (
    class_folders,
    decoding,
    digits,
    picture_reading,
    raw_pixels,
    tfds_records,
)
from alexnet_jax.errors import DamagedRecord, UserError
from alexnet_jax.system import threads

_CHUNK = 16  # examples that a thread reads at a time
_MEMORY_LIMIT = 2**30  # bytes; "auto" keeps a split of up to this size in memory

# fetch(index, out) writes the pixels of an example to `out`, uint8 `[size, size, 3]`,
# RGB 0-255, and returns its label.
Fetch = Callable[[int, np.ndarray], int]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One split of a dataset with random access."""

    name: str
    split: str
    num_examples: int
    class_names: list[str] | None
    image_size: int
    fingerprint: str
    """Identifies dataset, version, split, number of examples and image size."""
    directory: Path
    """Holds the dataset and the files prepared beside it."""
    records: Sequence[dict[str, Any]]
    """Examples with an encoded "image", a label and other features of the dataset."""
    fetch: Fetch
    skip_damaged: bool = False
    skipped: dict[int, str] = field(default_factory=dict)
    """Damaged examples left out so far: index to reason."""

    @property
    def num_classes(self) -> int | None:
        return len(self.class_names) if self.class_names else None

    def key(self, index: int) -> str:
        """The name of an example: its file name or id, else its index in the split."""
        fields = self._other_fields(index)
        key = fields.get("file_name", fields.get("id", index))
        return key.decode() if isinstance(key, bytes) else str(key)

    def read(self, indices: np.ndarray, image: np.ndarray, label: np.ndarray) -> None:
        """Reads examples into `image[i]`, uint8 RGB 0-255, and `label[i]`.

        If damaged examples are skipped, they become black images with label -1.

        Raises:
            DamagedRecord: an example is damaged; the message names dataset, split,
                index and key.
        """
        for row, index in enumerate(indices):
            try:
                label[row] = self.fetch(int(index), image[row])
            except (ValueError, RuntimeError, IndexError, OSError) as error:
                if not self.skip_damaged:
                    raise DamagedRecord(self._damage(int(index), error)) from error
                reason = getattr(error, "strerror", None) or str(error)
                self.skipped[int(index)] = reason
                image[row], label[row] = 0, -1

    def problems(self) -> dict[str, str]:
        """The reasons in `skipped`, by the name of the example."""
        return {self.key(index): self.skipped[index] for index in sorted(self.skipped)}

    def _damage(self, index: int, error: Exception) -> str:
        fields = self._other_fields(index)
        key = f" {fields}" if fields else ""
        return (
            f"dataset {self.name}, split {self.split}, record {index}{key} cannot be "
            f"read: {error}. To leave such records out: --data.damaged skip in "
            "training, --damaged skip in evaluation."
        )

    def _other_fields(self, index: int) -> dict[str, Any]:
        """All features of an example except image and label, such as its key."""
        try:
            fields = self.records[index].items()
        except (ValueError, RuntimeError, IndexError):  # the record itself is damaged
            return {}
        return {k: v for k, v in fields if k not in ("image", "label")}


def in_chunks(
    source: Source,
    work: Callable[[np.ndarray, np.ndarray, np.ndarray], Any],
    num_workers: int | None,
    examples: range | None = None,
) -> Generator[Any, None, None]:
    """Yields `work(indices, image, label)` for a few examples after the other.

    Threads read and work ahead; closing the iterator stops them.

    Args:
        examples: the examples to read. None means all of them.
    """
    examples = range(source.num_examples) if examples is None else examples
    size = source.image_size

    def read(indices: np.ndarray) -> Any:
        image = np.empty((len(indices), size, size, 3), np.uint8)
        label = np.empty(len(indices), np.int32)
        source.read(indices, image, label)
        return work(indices, image, label)

    starts = range(0, len(examples), _CHUNK)
    chunks = (np.array(examples[start : start + _CHUNK]) for start in starts)
    workers = threads.count(num_workers)
    return threads.in_order(
        read, chunks, workers=workers, depth=2 * workers, name="read"
    )


def open_source(data: DataConfig, split: str) -> Source:
    """Opens a split of the dataset that the configuration names.

    The digits are prepared on first use. Other datasets must already be prepared in the
    tfds data directory, as ArrayRecord; nothing is downloaded.

    Raises:
        UserError: the dataset, split or feature does not exist, or the format has no
            random access; the message lists what exists.
    """
    if data.folder is not None:
        return _of_folder(data, split)
    data_dir = tfds_records.directory_of(data.data_dir)
    if data.name == "digits":
        digits.prepare(data_dir)
    builder = tfds_records.find_builder(data.name, data_dir)
    tfds_records.check_features(builder.info, data.label)
    records = tfds_records.open_records(builder, split)
    return Source(
        name=data.name,
        split=split,
        num_examples=len(records),
        class_names=builder.info.features[data.label].names,
        image_size=data.image_size,
        fingerprint=fingerprint(builder.info, split, len(records), data.image_size),
        directory=Path(builder.data_path),
        records=records,
        fetch=_choose_fetch(records, builder, split, data),
        skip_damaged=data.damaged == "skip",
    )


def _of_folder(data: DataConfig, split: str) -> Source:
    """A split of class folders. Images are read as those of users, since cameras turn
    them by EXIF."""
    tree = class_folders.for_training(data)
    files = tree.files(split)
    folder = Path(str(data.folder)).expanduser()

    def fetch(index: int, out: np.ndarray) -> int:
        path, label = files[index]
        picture_reading.read_into(path, out, squash=data.squash, bilinear=data.bilinear)
        return label

    return Source(
        name=data.name,
        split=split,
        num_examples=len(files),
        class_names=tree.class_names,
        image_size=data.image_size,
        fingerprint=f"folder {split} {len(files)} at {data.image_size}",
        directory=folder,
        records=class_folders.Records(files, folder),
        fetch=_kept(fetch, len(files), data),
        skip_damaged=data.damaged == "skip",
    )


def fingerprint(info: Any, split: str, num_examples: int, image_size: int) -> str:
    """Identifies the images of a source: equal if they are the same images."""
    return f"{info.full_name} {split} {num_examples} at {image_size}"


def _choose_fetch(
    records: Sequence[dict[str, Any]], builder: Any, split: str, data: DataConfig
) -> Fetch:
    """The `fetch` that `--data.stored` asks for; for "auto", the fastest available."""
    if data.stored in ("auto", "raw"):
        try:
            return raw_pixels.open_rows(builder, split, data.image_size)
        except FileNotFoundError as error:
            if data.stored == "raw":
                raise UserError(
                    f"--data.stored raw: {error}. Write it with python -m "
                    f"alexnet_jax.prepare --raw, or use --data.stored records."
                ) from error
    fetch = _from_records(records, data)
    return _kept(fetch, len(records), data)


def _kept(fetch: Fetch, num_examples: int, data: DataConfig) -> Fetch:
    """The same, from memory if `--data.stored` asks for it or they are few."""
    shape = num_examples, data.image_size, data.image_size, 3
    small = math.prod(shape) <= _MEMORY_LIMIT
    if data.stored == "memory" or (data.stored == "auto" and small):
        return _remembered(fetch, shape)
    return fetch


def _from_records(records: Sequence[dict[str, Any]], data: DataConfig) -> Fetch:
    squash, bilinear = data.squash, data.bilinear

    def fetch(index: int, out: np.ndarray) -> int:
        record = records[index]
        if not record["image"] or record[data.label] is None:
            # ArrayRecord returns empty records from a truncated file.
            raise ValueError("the record is empty")
        decoding.read_into(record["image"], out, squash=squash, bilinear=bilinear)
        return record[data.label]

    return fetch


def _remembered(fetch: Fetch, shape: tuple[int, ...]) -> Fetch:
    """Decodes each example once and keeps it; memory grows as examples are read."""
    pixels = np.empty(shape, np.uint8)
    labels = np.empty(len(pixels), np.int32)
    known = np.zeros(len(pixels), bool)

    def remembered(index: int, out: np.ndarray) -> int:
        if not known[index]:  # a race is harmless: both threads write the same
            labels[index] = fetch(index, pixels[index])
            known[index] = True
        out[...] = pixels[index]
        return labels[index]

    return remembered
