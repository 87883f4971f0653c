"""From a source of examples to uint8 batches on the devices.

The order is stateless: batch k is a function of (seed, k) alone, so a run resumes
anywhere, with any number of threads and processes. Images are decoded by our own
threads into a fresh buffer while the step before runs; augmentation happens on the
devices.
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
_PREFETCH = 2  # batches that are ready or under way while a step runs


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
        The example after it stands for a damaged one that is skipped.
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
    """Every example once, in order. The last batch is filled up with example 0, and
    "mask", bool `[batch]`, is false there; otherwise as `train_batches`. A damaged
    example that is skipped has label -1."""
    starts = range(0, source.num_examples, batch_size)
    steps = (np.arange(start, start + batch_size) for start in starts)

    def load(indices: np.ndarray, pool: ThreadPoolExecutor) -> Batch:
        mask = indices < source.num_examples
        read = partial(read_rows, source)
        batch = _load(read, np.where(mask, indices, 0), sharding, pool)
        rows = local_rows(sharding, batch_size)
        parts = {start: mask[start:stop] for start, stop in rows}
        return batch | {"mask": _place(mask.shape, parts, sharding)}

    return ahead(load, steps, num_workers)


def ahead(
    load: Callable[[Any, ThreadPoolExecutor], Any],
    arguments: Iterable[Any],
    num_workers: int | None,
) -> Generator[Any, None, None]:
    """`load(argument, pool)` of each argument in turn, a few ahead of the consumer.

    One thread loads; the pool is there for it to share the work out. An exception
    reaches the consumer in its turn. Closing the iterator ends the threads.
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
    """Examples in memory of their own: uint8 `[n, size, size, 3]` and int32 `[n]`.

    The memory is never used again: on CPU an array on a device may be the same memory.
    """
    size = source.image_size
    image = _aligned((len(indices), size, size, 3))
    label = np.empty(len(indices), np.int32)
    # A few parts for each thread, since images take unequal time.
    length = max(1, len(indices) // (4 * pool._max_workers))
    rows = [slice(i, i + length) for i in range(0, len(indices), length)]
    list(pool.map(lambda s: source.read(indices[s], image[s], label[s]), rows))
    return image, label


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """New uint8 memory that begins where XLA's CPU backend can use it as it is."""
    size = int(np.prod(shape))
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].reshape(shape)


def _read_undamaged(
    source: Source, indices: np.ndarray, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, np.ndarray]:
    """As `read_rows`; the next example in the dataset stands for one that is damaged,
    so that all processes agree on it."""
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
    shape = (len(indices), *next(iter(parts.values()))[0].shape[1:])
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
