"""Layers of cuda-convnet for the CIFAR-10 nets: average pooling and unshared kernels.

Pooling windows are 3x3 at stride 2 and map sizes are rounded up: a map of n pixels, n
even, gives ceil((n - 3) / 2) + 1 = n / 2. The last window extends beyond the edge and
covers only the pixels inside the map (2012 code, layer.py; cuda-convnet, "K1",
conv_util.cuh). Windows are summed along one axis at a time, over pairs of pixels,
because on CPU XLA's own gradient of pooling takes several times as long.
"""

import jax
import jax.numpy as jnp
from jax import lax

_AXES = (2, 1)  # width, then height, of `[batch, height, width, channels]`


def average_pool(x: jax.Array) -> jax.Array:
    """Means of 3x3 windows at stride 2, over the pixels inside the map.

    Args:
        x: `[batch, height, width, channels]`, height and width even.
    """
    check_even(x)
    inside = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
    return _sums(x) / _sums(inside)


def _sums(x: jax.Array) -> jax.Array:
    """Sums of x[2i], x[2i+1] and x[2i+2] along both axes."""
    for axis in _AXES:
        even, odd = _pairs(x, axis)
        x = even + odd + _shift(even, axis, -1, 0.0)
    return x


def _pairs(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Entries 0, 2, 4, ... and 1, 3, 5, ... along an axis."""
    shape = list(x.shape)
    shape[axis : axis + 1] = [shape[axis] // 2, 2]
    pairs = x.reshape(shape)
    even, odd = (lax.index_in_dim(pairs, i, axis + 1, False) for i in (0, 1))
    return even, odd


def _shift(x: jax.Array, axis: int, offset: int, fill: float) -> jax.Array:
    """Moves entries to higher indices and fills the vacated ones with `fill`."""
    edges = [(0, 0, 0)] * x.ndim
    edges[axis] = (offset, -offset, 0)
    return lax.pad(x, jnp.asarray(fill, x.dtype), edges)


def check_even(x: jax.Array) -> None:
    """Raises ValueError if the height or width of the maps is odd."""
    if x.shape[1] % 2 or x.shape[2] % 2:
        raise ValueError(f"pooling needs maps of even size, not {x.shape[1:3]}")


def local(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """3x3 convolution with a separate kernel at every pixel, zeros around the map.

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
    by_pixel = kernel.reshape(height, width, 9, *kernel.shape[-2:])
    return jnp.einsum("bhwpc,hwpcf->bhwf", patches, by_pixel)
