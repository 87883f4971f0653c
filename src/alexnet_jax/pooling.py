"""Max-pooling with map sizes rounded up, and a gradient by comparison.

The gradient goes to every pixel that equals the maximum of its window, found by
comparison. XLA's own gradient (select and scatter, to the first such pixel) takes about
three times as long on CPU.
"""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from alexnet_jax.config import Pool

_Axes = tuple[int, ...]
_ROWS, _COLUMNS = (1,), (2,)  # axes of [batch, height, width, channels]


def max_pool(x: jax.Array, pool: Pool) -> jax.Array:
    """Maxima of windows (paper section 3.4: 3x3 at stride 2, overlapping).

    With `pool.ceil` a map of n pixels gives ceil((n - window) / stride) + 1, with the
    last window clipped at the border (2012 code, layer.py) and left out if it lies
    beyond; otherwise floor replaces ceil. The gradient of a window goes to each pixel
    that equals its maximum (2012 code, kLocalMaxUndo).

    Args:
        x: `[batch, height, width, channels]`.
    """
    if pool.window == 1 and pool.stride == 1:
        return x
    return _max_pool(x, pool)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(x: jax.Array, pool: Pool) -> jax.Array:
    # A window of 3x3 is a window of 3 along one axis after a window of 3 along the
    # other. That is less work, which counts on CPU; both at once is one pass over
    # memory, which counts on accelerators.
    return lax.platform_dependent(
        x,
        cpu=lambda x: _maxima(_maxima(x, _COLUMNS, pool), _ROWS, pool),
        default=lambda x: _maxima(x, _ROWS + _COLUMNS, pool),
    )


def _forward(x: jax.Array, pool: Pool) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    y: Any = _max_pool(x, pool)
    return y, (x, y)


def _backward(
    pool: Pool, saved: tuple[jax.Array, ...], gradient: jax.Array
) -> tuple[jax.Array]:
    def one_axis_after_the_other(
        x: jax.Array, y: jax.Array, gradient: jax.Array
    ) -> jax.Array:
        rows = _maxima(x, _COLUMNS, pool)  # again; XLA finds that it has them
        of_rows = _to_maxima(rows, y, gradient, _ROWS, pool, by_index=True)
        return _to_maxima(x, rows, of_rows, _COLUMNS, pool, by_index=True)

    def at_once(x: jax.Array, y: jax.Array, gradient: jax.Array) -> jax.Array:
        return _to_maxima(x, y, gradient, _ROWS + _COLUMNS, pool, by_index=False)

    dx = lax.platform_dependent(
        *saved, gradient, cpu=one_axis_after_the_other, default=at_once
    )
    return (dx,)


_max_pool.defvjp(_forward, _backward)


def overhang(size: int, pool: Pool) -> int:
    """Pixels that the last window of a side of `size` extends beyond the edge. A window
    that lies wholly beyond it is left out."""
    beyond = -(size - pool.window) % pool.stride if pool.ceil else 0
    return beyond if beyond < pool.window else 0


def _maxima(x: jax.Array, axes: _Axes, pool: Pool) -> jax.Array:
    """y[i] = max over k < window of x[stride * i + k] along the axes."""
    window, strides, edges = [1] * x.ndim, [1] * x.ndim, [(0, 0)] * x.ndim
    for axis in axes:
        window[axis], strides[axis] = pool.window, pool.stride
        edges[axis] = (0, overhang(x.shape[axis], pool))
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, edges)


def _to_maxima(
    x: jax.Array,
    y: jax.Array,
    gradient: jax.Array,
    axes: _Axes,
    pool: Pool,
    *,
    by_index: bool,
) -> jax.Array:
    """The gradient of `_maxima`: pixel p lies in the windows p // stride,
    p // stride - 1, ... along each axis, as far as they reach."""
    total = jnp.zeros_like(x)
    reach = range(-(-pool.window // pool.stride))
    for before in itertools.product(reach, repeat=len(axes)):
        maximum, share = y, gradient
        for axis, number in zip(axes, before, strict=True):
            of_window = partial(
                _of_window, number, x.shape[axis], axis, pool, by_index=by_index
            )
            maximum, share = of_window(maximum), of_window(share)
        total += jnp.where(x == maximum, share, jnp.zeros_like(share))
    return total


def _of_window(
    before: int,
    size: int,
    axis: int,
    pool: Pool,
    values: jax.Array,
    *,
    by_index: bool,
) -> jax.Array:
    """For each of `size` pixels p the value of window p // stride - before along an
    axis, and 0 where there is no such window or p lies beyond its end.

    Args:
        by_index: the faster way on CPU; on TPU it is a loop.
    """
    pixel = np.arange(size, dtype=np.int32)
    window = pixel // pool.stride - before
    exists = (0 <= window) & (window < values.shape[axis])
    contains = exists & (pixel - window * pool.stride < pool.window)
    contains = np.expand_dims(contains, [n for n in range(values.ndim) if n != axis])
    if by_index:
        values = jnp.take(values, window, axis, mode="clip")
    else:
        edges = [(0, 0, 0)] * values.ndim
        edges[axis] = (before, window[-1] + 1 - values.shape[axis], 0)
        values = lax.pad(values, jnp.zeros((), values.dtype), edges)
        values = jnp.repeat(values, pool.stride, axis)
        values = lax.slice_in_dim(values, 0, size, axis=axis)
    return jnp.where(contains, values, jnp.zeros_like(values))
