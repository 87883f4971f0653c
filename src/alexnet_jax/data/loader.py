"""Loads uint8 batches from a source of examples onto the devices.

The order is stateless: batch k is a function of (seed, k) alone, so a run can resume at
any step, with any number of threads and processes. Our own threads decode images into a
new buffer while the previous step runs; augmentation happens on the devices.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from alexnet_jax.data.source import Source
from alexnet_jax.system import threads

Batch = dict[str, jax.Array]
Batches = Generator[Batch, None, None]

_ALIGNMENT = 64  # bytes
_PREFETCH = 2  # batches ready or being loaded while a step runs


@functools.lru_cache(maxsize=2)  # a batch may straddle two epochs
def epoch_order(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    """The order of the examples in an epoch: int64 `[num_examples]`.

    It depends on the arguments alone.
    """
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.permutation(num_examples)


def batch_indices(
    seed: int, step: int, batch_size: int, num_examples: int
) -> np.ndarray:
    """The examples of batch `step`: int64 `[batch_size]`.

    Batches divide the endless sequence of shuffled epochs into equal parts, so a batch
    may straddle epochs and no example is ever left out.
    """
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs, positions_in_epoch = np.divmod(position, num_examples)
    parts = [
        epoch_order(seed, int(epoch), num_examples)[positions_in_epoch[epochs == epoch]]
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
    """Endless batches from `start_step` on; close the iterator to stop its threads.

    Yields:
        "image" uint8 `[batch, size, size, 3]`, RGB 0-255, and "label" int32 `[batch]`,
        placed by `sharding`. Each process reads only the rows that its devices hold.
        If damaged examples are skipped, each is replaced by the next readable one.
    """
    steps = (
        batch_indices(seed, step, batch_size, source.num_examples)
        for step in itertools.count(start_step)
    )

    def load(indices: np.ndarray, pool: ThreadPoolExecutor) -> Batch:
        return _load(partial(_read_undamaged, source), indices, sharding, pool)

    return ahead(load, steps, num_workers)


def eval_batches(
    source: Source,
    *,
    batch_size: int,
    sharding: NamedSharding,
    num_workers: int | None,
) -> Batches:
    """Every example once, in order.

    Yields:
        "image" and "label" as in `train_batches`, and "mask", bool `[batch]`. The last
        batch is padded with example 0, where "mask" is false. A damaged example that is
        skipped has label -1.
    """
    starts = range(0, source.num_examples, batch_size)
    steps = (np.arange(start, start + batch_size) for start in starts)

    def load(indices: np.ndarray, pool: ThreadPoolExecutor) -> Batch:
        mask = indices < source.num_examples
        read = partial(read_rows, source)
        batch = _load(read, np.where(mask, indices, 0), sharding, pool)
        parts = {a: mask[a:b] for a, b in local_rows(sharding, batch_size)}
        return batch | {"mask": _place(parts, batch_size, sharding)}

    return ahead(load, steps, num_workers)


def ahead(
    load: Callable[[Any, ThreadPoolExecutor], Any],
    arguments: Iterable[Any],
    num_workers: int | None,
) -> Generator[Any, None, None]:
    """Yields `load(argument, pool)` for each argument, a few ahead of the consumer.

    A single thread calls `load`, which distributes its work over the pool. An exception
    reaches the consumer in its turn. Closing the iterator stops the threads.
    """
    with ThreadPoolExecutor(
        threads.count(num_workers), thread_name_prefix="decode"
    ) as pool:
        loaded = threads.in_order(
            lambda argument: load(argument, pool),
            arguments,
            workers=1,
            depth=_PREFETCH,
            name="load",
        )
        with contextlib.closing(loaded):
            yield from loaded


def read_rows(
    source: Source, indices: np.ndarray, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, np.ndarray]:
    """Reads examples into freshly allocated arrays: uint8 `[n, size, size, 3]` pixels
    and int32 `[n]` labels.

    The arrays are never reused, because on CPU a device array may share their memory.
    """
    size = source.image_size
    image = _aligned((len(indices), size, size, 3))
    label = np.empty(len(indices), np.int32)
    # A few parts per thread, since images take different times to decode.
    length = max(1, len(indices) // (4 * pool._max_workers))
    rows = [slice(i, i + length) for i in range(0, len(indices), length)]
    list(pool.map(lambda s: source.read(indices[s], image[s], label[s]), rows))
    return image, label


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """New uint8 memory, aligned so that XLA's CPU backend can use it without a copy."""
    size = int(np.prod(shape))
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].reshape(shape)


def _read_undamaged(
    source: Source, indices: np.ndarray, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, np.ndarray]:
    """Like `read_rows`, but a damaged example is replaced by the next readable one.

    The next one in the dataset, not in the batch, so that all processes agree on it.
    """
    image, label = read_rows(source, indices, pool)
    shift = 1
    while (bad := np.flatnonzero(label < 0)).size and shift < source.num_examples:
        replacement = (indices[bad] + shift) % source.num_examples
        image[bad], label[bad] = read_rows(source, replacement, pool)
        shift += 1
    return image, label


def _load(
    read: Callable[..., tuple[np.ndarray, np.ndarray]],
    indices: np.ndarray,
    sharding: NamedSharding,
    pool: ThreadPoolExecutor,
) -> Batch:
    parts = {
        start: read(indices[start:stop], pool)
        for start, stop in local_rows(sharding, len(indices))
    }
    image = {start: image for start, (image, _) in parts.items()}
    label = {start: label for start, (_, label) in parts.items()}
    return {
        "image": _place(image, len(indices), sharding),
        "label": _place(label, len(indices), sharding),
    }


def local_rows(sharding: NamedSharding, batch_size: int) -> list[tuple[int, int]]:
    """The distinct row ranges (start, stop) that the devices of this process hold.

    Two processes that hold the two columns of the same images both read them.
    """
    parts: Any = sharding.addressable_devices_indices_map((batch_size,)).values()
    return sorted({rows.indices(batch_size)[:2] for (rows,) in parts})


def _place(
    parts: dict[int, np.ndarray], num_rows: int, sharding: NamedSharding
) -> jax.Array:
    """Makes a global array from the rows of this process, given by their start."""
    shape = (num_rows, *next(iter(parts.values())).shape[1:])
    devices: Any = sharding.addressable_devices_indices_map(shape)
    # Explicit transfers, since training disallows implicit ones.
    pieces = [
        jax.device_put(parts[rows.indices(shape[0])[0]], device)
        for device, (rows, *_) in devices.items()
    ]
    # Wait here, in the loading thread: a program on several virtual CPU devices that
    # starts before its input has arrived can occupy all the threads that copy it.
    array = jax.make_array_from_single_device_arrays(shape, sharding, pieces)
    return jax.block_until_ready(array)
