"""Raw pixels beside the records of a prepared dataset: one read per image, no decoding.

Each record shard has a file of the same name in the folder `raw`: the pixels of its
examples in order, uint8 `[n, size, size, 3]`, then their labels, int32, little endian.
The pixels are exactly those that the records decode to, so either can be used.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.system import atomic_files
from alexnet_jax.system.random_access import RandomAccessFile

FOLDER = "raw"
LABEL = np.dtype("<i4")

Fetch = Callable[[int, np.ndarray], int]


def open_rows(builder: Any, split: str, size: int) -> Fetch:
    """Returns `fetch(index, out)`, which reads an example of a split.

    It writes the pixels to `out`, uint8 `[size, size, 3]`, and returns the label. The
    bytes go straight into the batch, in a read call that releases the GIL; a page fault
    in a memory map would block all other threads.

    Raises:
        FileNotFoundError: there are no raw pixels of that size.
    """
    length = size**2 * 3
    shards, rows, labels = [], [], []
    for number, part in enumerate(builder.info.splits[split].file_instructions):
        path = Path(builder.data_path) / FOLDER / Path(part.filename).name
        shards.append(_open_shard(path, part.examples_in_shard, size))
        begin, end = part.skip, part.skip + part.take
        rows.append(np.stack([np.full(end - begin, number), np.arange(begin, end)], 1))
        after = part.examples_in_shard * length
        labels.append(np.fromfile(path, LABEL, offset=after)[begin:end])
    shard_and_row, label = np.concatenate(rows), np.concatenate(labels)

    def fetch(index: int, out: np.ndarray) -> int:
        shard, row = shard_and_row[index]
        shards[shard].read_into(out, int(row) * length)
        return label[index]

    return fetch


def _open_shard(path: Path, num_examples: int, size: int) -> RandomAccessFile:
    expected = num_examples * (size**2 * 3 + LABEL.itemsize)
    if not path.is_file() or path.stat().st_size != expected:
        raise FileNotFoundError(f"{path} does not exist with {size} x {size} pixels")
    return RandomAccessFile(path)


def write_shard(path: Path, examples: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Writes a shard from batches of pixels and labels, the whole file or nothing."""
    labels = [np.array([], LABEL)]
    with atomic_files.replacing(path) as partial, open(partial, "wb") as file:
        for pixels, label in examples:
            file.write(np.ascontiguousarray(pixels).data)
            labels.append(label.astype(LABEL))
        file.write(np.concatenate(labels).tobytes())
