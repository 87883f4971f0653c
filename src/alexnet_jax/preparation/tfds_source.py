"""Images of a prepared tfds dataset, including TFRecord, the default of tfds.

A TFRecord file is a sequence of records: length, uint64; a checksum of it, uint32; the
bytes; a checksum of them, uint32; all little endian. An index of the record offsets,
built by reading the lengths, gives random access without TensorFlow.
"""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from alexnet_jax.data import tfds_records
from alexnet_jax.errors import UserError
from alexnet_jax.preparation.source_images import Original, Originals, Split
from alexnet_jax.system.random_access import RandomAccessFile

_LENGTH = struct.Struct("<Q")
_BEFORE, _AFTER = 12, 4  # bytes around a record
_KEYS = ("file_name", "id", "key")  # features that name an example


def open_tfds(name: str, data_dir: Path) -> Originals:
    """Opens all splits of a prepared dataset with image and class label.

    Raises:
        UserError: the dataset does not exist, has no images or no classes, or is in
            files that are cut off or have no random access.
    """
    builder = tfds_records.find_builder(name, data_dir)
    tfds_records.check_features(builder.info)
    splits = {split: _tfds_split(builder, split) for split in builder.info.splits}
    class_names = builder.info.features["label"].names
    if class_names is None:
        raise UserError(f"dataset {name} does not specify its number of classes.")
    return Originals(builder.info.name, class_names, splits)


def _tfds_split(builder: Any, split: str) -> Split:
    if builder.info.file_format.value == "tfrecord":
        records = _Records(builder.info, split)
    else:
        records = tfds_records.open_records(builder, split)

    def read(index: int) -> Original:
        record = records[index]
        key = next((record[k] for k in _KEYS if k in record), index)
        name = key.decode() if isinstance(key, bytes) else str(key)
        return Original(name, int(record["label"]), record["image"])

    return Split(len(records), read)


class _Records:
    """TFRecord files with random access; `records[i]` is safe from many threads."""

    def __init__(self, info: Any, split: str) -> None:
        self._features = info.features
        paths = [os.fspath(path) for path in info.splits[split].filepaths]
        self._files = [RandomAccessFile(path) for path in paths]
        places = [_index(path) for path in paths]
        numbers = np.repeat(np.arange(len(places)), [len(p) for p in places])
        # One row per record: file, first byte, length.
        self._places = np.column_stack([numbers, np.concatenate(places)])

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        file, start, length = map(int, self._places[index])
        record = self._files[file].read(start, length)
        decoders = {"image": tfds.decode.SkipDecoding()}
        return self._features.deserialize_example_np(record, decoders=decoders)


def _index(path: str) -> np.ndarray:
    """First byte and length of each record: int64 `[n, 2]`."""
    places = []
    file, end = RandomAccessFile(path), os.path.getsize(path)
    position = 0
    while position < end:
        header = file.read(position, _LENGTH.size)
        length = _LENGTH.unpack(header)[0] if len(header) == _LENGTH.size else end
        places.append((position + _BEFORE, length))
        position += _BEFORE + length + _AFTER
    if position != end:
        raise UserError(f"{path} is cut off: record {len(places) - 1} is incomplete.")
    return np.array(places, np.int64).reshape(-1, 2)
