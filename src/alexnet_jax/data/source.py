"""One split of a dataset with random access, as squares of uint8 pixels.

The pixels come from encoded records, decoded on the fly; from a file of raw pixels that
`prepare --raw` wrote beside them; or, for a small set, from memory once they have been
decoded. All three give the same pixels.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.config import DataConfig
from alexnet_jax.data import decoding, digits, raw_pixels, tfds_records
from alexnet_jax.errors import DamagedRecord, UserError

_MEMORY_LIMIT = 2**30  # bytes of pixels up to which "auto" keeps a split in memory

# fetch(index, out) writes an example's pixels, uint8 `[size, size, 3]`, RGB 0-255, to
# `out` and returns its label.
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
    """Changes when dataset, version, split or number of examples does."""
    directory: Path
    """Where the dataset lies, and what was prepared beside it."""
    records: Sequence[dict[str, Any]]
    """Examples with an encoded "image", a "label", and what else the dataset has."""
    fetch: Fetch
    skip_damaged: bool = False
    skipped: dict[int, str] = field(default_factory=dict)
    """Damaged examples that were left out so far, each with the reason."""

    @property
    def num_classes(self) -> int | None:
        return len(self.class_names) if self.class_names else None

    def key(self, index: int) -> str:
        """The name of an example: its file or id, else its place in the split."""
        try:
            fields = other_fields(self.records[index])
        except (ValueError, RuntimeError, IndexError):  # damaged
            return str(index)
        key = fields.get("file_name", fields.get("id", index))
        return key.decode() if isinstance(key, bytes) else str(key)

    def read(self, indices: np.ndarray, image: np.ndarray, label: np.ndarray) -> None:
        """Reads examples into `image[i]`, uint8 RGB 0-255, and `label[i]`.

        Where damaged examples are skipped, label -1 and a black image stand for them.

        Raises:
            DamagedRecord: an example is damaged; names dataset, split, index and key.
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
        """The reasons of `skipped` by the names of the examples."""
        return {self.key(index): self.skipped[index] for index in sorted(self.skipped)}

    def _damage(self, index: int, error: Exception) -> str:
        try:
            fields = other_fields(self.records[index])
            key = f" {fields}" if fields else ""
        except (ValueError, RuntimeError, IndexError):
            key = ""  # the record itself is damaged
        return (
            f"dataset {self.name}, split {self.split}, record {index}{key} cannot be "
            f"read: {error}. To leave such records out: --data.damaged skip in "
            "training, --damaged skip in evaluation."
        )


def other_fields(record: dict[str, Any]) -> dict[str, Any]:
    """What a record holds besides image and label: its key, if it has one."""
    return {k: v for k, v in record.items() if k not in ("image", "label")}


def open_source(data: DataConfig, split: str) -> Source:
    """Opens a split of the dataset that the configuration names.

    The digits are prepared on first use. Other datasets must have been prepared in the
    tfds data directory, in ArrayRecord form; nothing is looked for on the network.

    Raises:
        UserError: there is no such dataset, split, feature or random access; the
            message says what there is.
    """
    data_dir = tfds_records.directory_of(data.data_dir)
    if data.name == "digits":
        digits.prepare(str(data_dir))
    builder = tfds_records.find_builder(data.name, data_dir)
    tfds_records.check_features(builder.info, data.label)
    records = tfds_records.open_records(builder, split)
    source = Source(
        name=data.name,
        split=split,
        num_examples=len(records),
        class_names=builder.info.features[data.label].names,
        image_size=data.image_size,
        fingerprint=fingerprint(builder.info, split, len(records), data.image_size),
        directory=Path(builder.data_path),
        records=records,
        fetch=_from_records(records, data.label, data.squash),
        skip_damaged=data.damaged == "skip",
    )
    return dataclasses.replace(source, fetch=_choose_fetch(source, builder, data))


def fingerprint(info: Any, split: str, num_examples: int, image_size: int) -> str:
    """What tells the images of one source from those of another."""
    return f"{info.full_name} {split} {num_examples} at {image_size}"


def _choose_fetch(source: Source, builder: Any, data: DataConfig) -> Fetch:
    """The way to the pixels that `--data.stored` asks for, or the fastest there is."""
    size = source.num_examples * source.image_size**2 * 3
    if data.stored in ("auto", "raw"):
        try:
            return raw_pixels.open_rows(builder, source.split, source.image_size)
        except FileNotFoundError as error:
            if data.stored == "raw":
                raise UserError(
                    f"--data.stored raw: {error}. Write it with python -m "
                    f"alexnet_jax.prepare --raw, or use --data.stored records."
                ) from error
    if data.stored == "memory" or (data.stored == "auto" and size <= _MEMORY_LIMIT):
        return _remembered(source)
    return source.fetch


def _from_records(records: Sequence[dict[str, Any]], label: str, squash: bool) -> Fetch:
    def fetch(index: int, out: np.ndarray) -> int:
        record = records[index]
        if not record["image"] or record[label] is None:
            # What ArrayRecord gives where a file has lost its end.
            raise ValueError("the record is empty")
        decoding.read_into(record["image"], out, squash=squash)
        return record[label]

    return fetch


def _remembered(source: Source) -> Fetch:
    """Decodes each example once; the memory is taken as it is filled."""
    size = source.image_size
    pixels = np.empty((source.num_examples, size, size, 3), np.uint8)
    labels = np.empty(source.num_examples, np.int32)
    known = np.zeros(source.num_examples, bool)

    def fetch(index: int, out: np.ndarray) -> int:
        if not known[index]:  # two threads may do it at once: they write the same
            labels[index] = source.fetch(index, pixels[index])
            known[index] = True
        out[...] = pixels[index]
        return labels[index]

    return fetch
