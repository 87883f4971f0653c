"""A pass of a trained network over the examples of a source, once and in order."""

import contextlib
import functools
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from alexnet_jax import columns
from alexnet_jax.data import loader
from alexnet_jax.data.source import Source
from alexnet_jax.system import devices
from alexnet_jax.weights.network import Network


class Part(NamedTuple):
    """What was found of consecutive examples."""

    start: int
    """The first of them."""
    found: Any
    """What the function gave: arrays on the host, `[examples, ...]`."""
    label: np.ndarray
    """int32 `[examples]`, -1 where an example was damaged and skipped or has none."""


def each_batch(
    function: Callable[..., Any],
    network: Network,
    source: Source,
    mesh: Mesh,
    *,
    batch_size: int,
    num_workers: int | None,
    **static: Any,
) -> Generator[Part, None, None]:
    """`function(params, image, mean_image, **static)` of all examples, by batches.

    Memory does not grow with the number of examples. Close it if it may not be used to
    its end. The same function with the same arguments is compiled once in a process.

    Args:
        function: takes uint8 images `[batch, size, size, 3]`, RGB 0-255, and gives a
            tree of arrays `[batch, ...]`.
        batch_size: of what is computed at a time; rounded up to suit the mesh, and
            less where the source has less.
        static: hashable.
    """
    step = _compiled(function, mesh, **static)
    size = _fitting(min(batch_size, source.num_examples), mesh.shape["data"])
    batches = loader.eval_batches(
        source,
        batch_size=size,
        sharding=columns.batch_sharding(mesh),
        num_workers=num_workers,
    )
    start, under_way = 0, None
    with contextlib.closing(batches):
        for batch in batches:
            with jax.set_mesh(mesh):  # not while the consumer works
                result = step(
                    network.params, batch["image"], network.mean_image, batch["label"]
                )
            if under_way is not None:  # fetched while the next batch is computed
                yield Part(start, *jax.device_get(under_way))
                start += size
            under_way = result
    if under_way is not None:
        rest = source.num_examples - start  # the last batch was filled up
        last = jax.tree.map(lambda array: array[:rest], jax.device_get(under_way))
        yield Part(start, *last)


def _fitting(batch_size: int, parts: int) -> int:
    return -(-batch_size // parts) * parts


@functools.lru_cache(maxsize=16)
def _compiled(function: Callable[..., Any], mesh: Mesh, **static: Any) -> Any:
    def with_label(
        params: Any, image: jax.Array, mean_image: jax.Array, label: jax.Array
    ) -> tuple[Any, jax.Array]:
        return partial(function, **static)(params, image, mean_image), label

    return devices.compiled(with_label, out_shardings=columns.replicated(mesh))
