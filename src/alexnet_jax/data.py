"""From prepared tfds datasets to uint8 batches on the devices, without TensorFlow.

The order is stateless: batch k is a function of (seed, k) alone, so a run resumes
anywhere, with any number of threads and processes. Images are decoded by our own
threads into a fresh buffer while the step before runs; augmentation happens on the
devices.
"""

import functools
import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorflow_datasets as tfds
from jax.sharding import NamedSharding
from tensorflow_datasets.core import constants, read_only_builder

from alexnet_jax import images
from alexnet_jax.config import DataConfig, UserError
from alexnet_jax.datasets import digits

Batch = dict[str, jax.Array]
Batches = Generator[Batch, None, None]

_PREFETCH = 2  # batches that are ready or under way while a step runs


@dataclass(frozen=True, kw_only=True)
class Source:
    """One split of a dataset with random access."""

    name: str
    split: str
    num_examples: int
    num_classes: int | None
    image_size: int
    fingerprint: str
    """Changes when dataset, version, split or number of examples does."""
    records: Sequence[dict[str, Any]]
    """Examples with an encoded "image" and a "label"."""

    def read(self, indices: np.ndarray, image: np.ndarray, label: np.ndarray) -> None:
        """Decodes examples into `image[i]`, uint8 RGB 0-255, and `label[i]`.

        Raises:
            ValueError: a record is damaged; names dataset, split, index and key.
        """
        for row, index in enumerate(indices):
            record = {}
            try:
                record = self.records[int(index)]
                decoded = images.decode(record["image"])
            except (ValueError, RuntimeError, IndexError) as error:
                keys = {k: v for k, v in record.items() if k not in ("image", "label")}
                raise ValueError(
                    f"dataset {self.name}, split {self.split}, record {index} "
                    f"{keys or ''} cannot be read: {error}"
                ) from error
            image[row] = images.fit(decoded, self.image_size)
            label[row] = record["label"]


def open_source(data: DataConfig, split: str) -> Source:
    """Opens a split of the dataset that the configuration names.

    The digits are prepared on first use. Other datasets must have been prepared in the
    tfds data directory, in ArrayRecord form; nothing is looked for on the network.

    Raises:
        UserError: there is no such dataset, split, feature or random access; the
            message says what there is.
    """
    data_dir = Path(data.data_dir or constants.DATA_DIR).expanduser()
    if data.name == "digits":
        digits.prepare(str(data_dir))
    builder = _find_builder(data.name, data_dir)
    info = builder.info
    _check_features(info)
    try:
        records = builder.as_data_source(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}
        )
    except (ValueError, KeyError) as error:
        raise UserError(
            f"dataset {info.full_name} has no split {split!r}: its splits are "
            f"{', '.join(info.splits)}."
        ) from error
    except NotImplementedError as error:
        raise UserError(
            f"dataset {info.full_name} in {data_dir} is stored as "
            f"{info.file_format.value}, which has no random access: prepare it with "
            "file_format='array_record'."
        ) from error
    return Source(
        name=data.name,
        split=split,
        num_examples=len(records),
        num_classes=info.features["label"].num_classes,
        image_size=data.image_size,
        fingerprint=f"{info.full_name} {split} {len(records)} at {data.image_size}",
        records=records,
    )


def _check_features(info: Any) -> None:
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    there = [f"{key} ({type(value).__name__})" for key, value in info.features.items()]
    for name, kind in kinds.items():
        if name not in info.features or not isinstance(info.features[name], kind):
            raise UserError(
                f"dataset {info.full_name} has no feature {name!r} of type "
                f"{kind.__name__}: its features are {', '.join(there)}."
            )


def _find_builder(name: str, data_dir: Path) -> Any:
    try:
        return read_only_builder.builder_from_files(name, data_dir=str(data_dir))
    except ValueError as error:  # not there, or no name that tfds can read
        there = sorted(
            path.name
            for path in (data_dir.iterdir() if data_dir.is_dir() else [])
            if path.is_dir() and path.name != "downloads"
        )
        raise UserError(
            f"there is no prepared dataset {name!r} in {data_dir} (there: "
            f"{', '.join(there) or 'nothing'}). Name another directory with "
            "--data.data-dir, or prepare it there with tfds, as array_record."
        ) from error


@functools.lru_cache(maxsize=2)  # a batch may straddle two epochs
def epoch_order(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    """The order of the examples in an epoch: int64 `[num_examples]`, a function of the
    arguments alone."""
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.permutation(num_examples)


def batch_indices(
    seed: int, step: int, batch_size: int, num_examples: int
) -> np.ndarray:
    """The examples of batch `step`: int64 `[batch_size]`.

    Batches cut the endless sequence of shuffled epochs into equal parts, so they
    straddle epochs and no example is ever left out.
    """
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs, places = np.divmod(position, num_examples)
    parts = [
        epoch_order(seed, int(epoch), num_examples)[places[epochs == epoch]]
        for epoch in np.unique(epochs)
    ]
    return np.concatenate(parts)


def train_batches(
    source: Source,
    *,
    seed: int,
    batch_size: int,
    start_step: int,
    sharding: NamedSharding,
    num_workers: int | None,
) -> Batches:
    """Batches from `start_step` on, without end; close the iterator to end its threads.

    Yields:
        "image" uint8 `[batch, size, size, 3]`, RGB 0-255, and "label" int32 `[batch]`,
        placed by `sharding`. Each process reads only the rows that its devices hold.
    """
    steps = (
        batch_indices(seed, step, batch_size, source.num_examples)
        for step in itertools.count(start_step)
    )

    def load(indices: np.ndarray, pool: ThreadPoolExecutor) -> Batch:
        return _load(source, indices, sharding, pool)

    return ahead(load, steps, num_workers)


def eval_batches(
    source: Source,
    *,
    batch_size: int,
    sharding: NamedSharding,
    num_workers: int | None,
) -> Batches:
    """Every example once, in order. The last batch is filled up with example 0, and
    "mask", bool `[batch]`, is false there; otherwise as `train_batches`."""
    starts = range(0, source.num_examples, batch_size)
    steps = (np.arange(start, start + batch_size) for start in starts)

    def load(indices: np.ndarray, pool: ThreadPoolExecutor) -> Batch:
        mask = indices < source.num_examples
        batch = _load(source, np.where(mask, indices, 0), sharding, pool)
        rows = local_rows(sharding, batch_size)
        parts = {start: mask[start:stop] for start, stop in rows}
        return batch | {"mask": _place(mask.shape, parts, sharding)}

    return ahead(load, steps, num_workers)


def ahead(
    load: Callable[[Any, ThreadPoolExecutor], Any],
    arguments: Iterator[Any],
    num_workers: int | None,
) -> Generator[Any, None, None]:
    """`load(argument, pool)` of each argument in turn, a few ahead of the consumer.

    One thread loads; the pool is there for it to share the work out. An exception
    reaches the consumer in its turn. Closing the iterator ends the threads.
    """
    workers = num_workers or os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    loader = ThreadPoolExecutor(1, thread_name_prefix="load")
    pending = deque()
    try:
        for argument in arguments:
            pending.append(loader.submit(load, argument, pool))
            if len(pending) > _PREFETCH:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        loader.shutdown(cancel_futures=True)
        pool.shutdown(cancel_futures=True)


def read_rows(
    source: Source, indices: np.ndarray, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, np.ndarray]:
    """Examples in memory of their own: uint8 `[n, size, size, 3]` and int32 `[n]`.

    The memory is never used again: on CPU an array on a device may be the same memory.
    """
    size = source.image_size
    image = np.empty((len(indices), size, size, 3), np.uint8)
    label = np.empty(len(indices), np.int32)
    # A few parts for each thread, since images take unequal time.
    length = max(1, len(indices) // (4 * pool._max_workers))
    rows = [slice(i, i + length) for i in range(0, len(indices), length)]
    list(pool.map(lambda s: source.read(indices[s], image[s], label[s]), rows))
    return image, label


def _load(
    source: Source,
    indices: np.ndarray,
    sharding: NamedSharding,
    pool: ThreadPoolExecutor,
) -> Batch:
    parts = {
        start: read_rows(source, indices[start:stop], pool)
        for start, stop in local_rows(sharding, len(indices))
    }
    size = source.image_size
    shape = (len(indices), size, size, 3)
    image = {start: part[0] for start, part in parts.items()}
    label = {start: part[1] for start, part in parts.items()}
    return {
        "image": _place(shape, image, sharding),
        "label": _place(shape[:1], label, sharding),
    }


def local_rows(sharding: NamedSharding, batch_size: int) -> list[tuple[int, int]]:
    """The parts (start, stop) of a batch that devices of this process hold, each once.

    Two processes that hold the two columns of the same images both read them.
    """
    parts: Any = sharding.addressable_devices_indices_map((batch_size,)).values()
    return sorted({rows.indices(batch_size)[:2] for (rows,) in parts})


def _place(
    shape: tuple[int, ...], parts: dict[int, np.ndarray], sharding: NamedSharding
) -> jax.Array:
    """A global array from the parts of its rows that this process has, by start."""
    devices: Any = sharding.addressable_devices_indices_map(shape)
    # Explicit transfers, since a run forbids those that nobody asked for.
    pieces = [
        jax.device_put(parts[rows.indices(shape[0])[0]], device)
        for device, (rows, *_) in devices.items()
    ]
    # Waited for here, in the loading thread: a program on several virtual CPU devices
    # that starts before its input is there can hold all the threads that bring it.
    array = jax.make_array_from_single_device_arrays(shape, sharding, pieces)
    return jax.block_until_ready(array)
