"""Max-pooling with map sizes rounded up, and a gradient that is fast on CPU too.

A 3x3 window is a window of 3 along one axis after a window of 3 along the other. The
gradient goes to every pixel that equals the maximum of its window, found by comparison.
XLA's own gradient (select and scatter, to the first such pixel) takes about three times
as long on CPU.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from alexnet_jax.config import Pool

_ROWS, _COLUMNS = 1, 2  # axes of [batch, height, width, channels]


def max_pool(x: jax.Array, pool: Pool) -> jax.Array:
    """Maxima of windows (paper section 3.4: 3x3 at stride 2, overlapping).

    With `pool.ceil` a map of n pixels gives ceil((n - window) / stride) + 1, with the
    last window clipped at the border (2012 code, layer.py); otherwise floor replaces
    ceil. The gradient of a window goes to each pixel that equals its maximum (2012
    code, kLocalMaxUndo).

    Args:
        x: `[batch, height, width, channels]`.
    """
    if pool.window == 1 and pool.stride == 1:
        return x
    return _max_pool(x, pool)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(x: jax.Array, pool: Pool) -> jax.Array:
    return _forward(x, pool)[0]


def _forward(x: jax.Array, pool: Pool) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    rows = _maxima(x, _COLUMNS, pool)
    y = _maxima(rows, _ROWS, pool)
    return y, (x, rows, y)


def _backward(
    pool: Pool, saved: tuple[jax.Array, ...], gradient: jax.Array
) -> tuple[jax.Array]:
    x, rows, y = saved
    gradient = _to_maxima(rows, y, gradient, _ROWS, pool)
    return (_to_maxima(x, rows, gradient, _COLUMNS, pool),)


_max_pool.defvjp(_forward, _backward)


def _maxima(x: jax.Array, axis: int, pool: Pool) -> jax.Array:
    """y[i] = max over k < window of x[stride * i + k] along an axis."""
    size = x.shape[axis]
    overhang = -(size - pool.window) % pool.stride if pool.ceil else 0
    window, strides, edges = [1] * x.ndim, [1] * x.ndim, [(0, 0)] * x.ndim
    window[axis], strides[axis] = pool.window, pool.stride
    edges[axis] = (0, overhang)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, edges)


def _to_maxima(
    x: jax.Array, y: jax.Array, gradient: jax.Array, axis: int, pool: Pool
) -> jax.Array:
    """The gradient of `_maxima`.

    Entry k of window i is entry i + k // stride of phase k % stride of x. It gets the
    window's gradient where it equals the maximum.
    """
    windows = y.shape[axis]
    phases = _phases(x, axis, pool, windows)
    length = phases[0].shape[axis]
    parts = [jnp.zeros_like(phase) for phase in phases]
    for k in range(pool.window):
        shift, phase = divmod(k, pool.stride)
        entries = lax.slice_in_dim(phases[phase], shift, shift + windows, axis=axis)
        share = jnp.where(entries == y, gradient, jnp.zeros_like(gradient))
        edges = [(0, 0, 0)] * x.ndim
        edges[axis] = (shift, length - windows - shift, 0)
        parts[phase] += lax.pad(share, jnp.zeros((), share.dtype), edges)
    shape = list(x.shape)
    shape[axis] = length * pool.stride
    whole = jnp.stack(parts, axis + 1).reshape(shape)
    return _resize(whole, axis, x.shape[axis], 0.0)


def _phases(x: jax.Array, axis: int, pool: Pool, windows: int) -> list[jax.Array]:
    """Splits an axis into phases: entries 0, stride, 2 stride, ..., then 1, stride + 1,
    ..., each long enough for all windows and padded with minus infinity."""
    length = max(
        windows + (pool.window - 1) // pool.stride, -(-x.shape[axis] // pool.stride)
    )
    x = _resize(x, axis, length * pool.stride, -jnp.inf)
    shape = list(x.shape)
    shape[axis : axis + 1] = [length, pool.stride]
    folded = x.reshape(shape)
    return [
        lax.index_in_dim(folded, phase, axis + 1, keepdims=False)
        for phase in range(pool.stride)
    ]


def _resize(x: jax.Array, axis: int, size: int, fill: float) -> jax.Array:
    """Truncates or pads the end of an axis."""
    edges = [(0, 0, 0)] * x.ndim
    edges[axis] = (0, size - x.shape[axis], 0)
    return lax.pad(x, jnp.asarray(fill, x.dtype), edges)
