"""A batch in parts, one after the other, where the memory does not hold it at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def mean_over_parts(
    function: Callable[[Any, jax.Array], Any], batch: Any, key: jax.Array, parts: int
) -> Any:
    """Mean of function(part, key of the part) over equal parts of a batch.

    For gradients of a mean loss this is the gradient of the whole batch, up to
    rounding. Part i has the examples i, i + parts, i + 2 parts and so on, so that each
    device keeps its own rows and nothing is sent.

    Args:
        function: gives a tree of floating arrays that do not depend on the batch size.
        batch: a tree of arrays `[batch, ...]`; parts divides the batch on each device.
    """
    if parts == 1:
        return function(batch, key)
    split = jax.tree.map(lambda array: _split(array, parts), batch)
    keys = jax.random.split(key, parts)

    def add(total: Any, part: tuple[Any, jax.Array]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(*part)), None

    shapes = jax.eval_shape(function, jax.tree.map(lambda x: x[0], split), keys[0])
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    total, _ = jax.lax.scan(add, zeros, (split, keys))
    return jax.tree.map(lambda x: x / parts, total)


def _split(array: jax.Array, parts: int) -> jax.Array:
    """`[batch, ...]` to `[parts, batch / parts, ...]`."""
    shape = (array.shape[0] // parts, parts, *array.shape[1:])
    return jnp.swapaxes(array.reshape(shape), 0, 1)
