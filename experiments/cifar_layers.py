"""Layers of cuda-convnet that the CIFAR-10 nets need: pooling and unshared kernels.

Pooling windows may hang over the right and lower edge, where they count only what is
inside (cuda-convnet, conv_util.cuh). The sums and maxima are written as shifted slices,
one axis after the other: on CPU XLA's own gradient of pooling takes several times as
long.
"""

import jax
import jax.numpy as jnp

WINDOW, STRIDE = 3, 2
"""Of every pooling layer of these nets."""


def pooled_size(size: int) -> int:
    """Outputs along an axis: ceil((size - 3) / 2) + 1 (2012 code, layer.py)."""
    return -(-(size - WINDOW) // STRIDE) + 1


def _thirds(x: jax.Array, axis: int, fill: float) -> list[jax.Array]:
    """First, middle and last entry of each window of 3 at stride 2 along an axis."""
    outputs = pooled_size(x.shape[axis])
    overhang = STRIDE * (outputs - 1) + WINDOW - x.shape[axis]
    edges = [(0, 0)] * x.ndim
    edges[axis] = (0, overhang)
    x = jnp.pad(x, edges, constant_values=fill)
    return [
        jax.lax.slice_in_dim(x, i, i + STRIDE * (outputs - 1) + 1, STRIDE, axis)
        for i in range(WINDOW)
    ]


@jax.custom_vjp
def max_pool(x: jax.Array) -> jax.Array:
    """Maxima of 3x3 windows at stride 2, map sizes rounded up.

    The gradient goes to every pixel that is the maximum of its window, not to one of
    them (cuda-convnet, kLocalMaxUndo).

    Args:
        x: `[batch, height, width, channels]`.
    """
    return _maxima(_maxima(x, 2), 1)


def _maxima(x: jax.Array, axis: int) -> jax.Array:
    first, middle, last = _thirds(x, axis, -jnp.inf)
    return jnp.maximum(jnp.maximum(first, middle), last)


def _max_pool_forward(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    rows = _maxima(x, 2)
    y = _maxima(rows, 1)
    return y, (x, rows, y)


def _max_pool_backward(
    saved: tuple[jax.Array, ...], gradient: jax.Array
) -> tuple[jax.Array]:
    x, rows, y = saved
    return (_to_maxima(x, rows, _to_maxima(rows, y, gradient, 1), 2),)


def _to_maxima(x: jax.Array, y: jax.Array, gradient: jax.Array, axis: int) -> jax.Array:
    """The gradient of `_maxima`, to every maximum."""
    _, scatter = jax.vjp(lambda x: _thirds(x, axis, -jnp.inf), x)
    chosen = [
        jnp.where(third == y, gradient, 0) for third in _thirds(x, axis, -jnp.inf)
    ]
    return scatter(chosen)[0]


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def average_pool(x: jax.Array) -> jax.Array:
    """Means of 3x3 windows at stride 2, over the pixels that are inside the map.

    Args:
        x: `[batch, height, width, channels]`.
    """
    inside = _sums(jnp.ones((1, *x.shape[1:3], 1), x.dtype))
    return _sums(x) / inside


def _sums(x: jax.Array) -> jax.Array:
    for axis in (2, 1):
        first, middle, last = _thirds(x, axis, 0.0)
        x = first + middle + last
    return x


def local(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution with kernels of its own at every pixel: 3x3, one zero around the map.

    y[b, h, w, f] = sum_{i,j,c} x[b, h+i-1, w+j-1, c] * kernel[h, w, i, j, c, f].

    Args:
        x: `[batch, height, width, channels]`.
        kernel: `[height, width, 3, 3, channels, features]`.
    """
    height, width = x.shape[1:3]
    padded = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    patches = jnp.stack(
        [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)],
        axis=3,
    )
    by_place = kernel.reshape(height, width, 9, *kernel.shape[-2:])
    return jnp.einsum("bhwpc,hwpcf->bhwf", patches, by_place)
