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
    """The results for consecutive examples."""

    start: int
    """Index of the first."""
    output: Any
    """Return value of the function: a tree of host arrays `[examples, ...]`."""
    label: np.ndarray
    """int32 `[examples]`; -1 if an example was damaged and skipped, or has none."""


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

    Memory does not grow with the number of examples. Close the generator if it may not
    be exhausted. The same function with the same arguments is compiled once per
    process.

    Args:
        function: takes uint8 images `[batch, size, size, 3]`, RGB 0-255, and returns a
            tree of arrays `[batch, ...]`.
        batch_size: images at a time, at most the number of examples; rounded up to a
            multiple of the mesh's data axis.
        static: hashable arguments.
    """
    step = _compiled(function, mesh, **static)
    parts = mesh.shape["data"]
    size = -(-min(batch_size, source.num_examples) // parts) * parts
    batches = loader.eval_batches(
        source,
        batch_size=size,
        sharding=columns.batch_sharding(mesh),
        num_workers=num_workers,
    )
    start, pending = 0, None
    with contextlib.closing(batches):
        for batch in batches:
            with jax.set_mesh(mesh):  # only here, not while the consumer runs
                result = step(
                    network.params, batch["image"], network.mean_image, batch["label"]
                )
            if pending is not None:  # fetched while the next batch is computed
                yield Part(start, *jax.device_get(pending))
                start += size
            pending = result
    if pending is not None:
        rest = source.num_examples - start  # the last batch is padded
        last = jax.tree.map(lambda array: array[:rest], jax.device_get(pending))
        yield Part(start, *last)


@functools.lru_cache(maxsize=16)
def _compiled(function: Callable[..., Any], mesh: Mesh, **static: Any) -> Any:
    def with_label(
        params: Any, image: jax.Array, mean_image: jax.Array, label: jax.Array
    ) -> tuple[Any, jax.Array]:
        return partial(function, **static)(params, image, mean_image), label

    return devices.compiled(with_label, out_shardings=columns.replicated(mesh))
