"""Response normalisation over maps (paper section 3.3) and over pixels (2012 code).

It needs JAX alone, so that other projects can take this file.
"""

import jax
import jax.numpy as jnp
from jax import lax


def local_response_norm(
    x: jax.Array,
    *,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    alpha_divided_by_n: bool,
    num_columns: int,
) -> jax.Array:
    """Response normalisation over neighbouring maps (paper section 3.3).

    y_i = x_i / (k + a * sum_{j=i-n//2}^{i+n//2} x_j^2)^beta, with n = size, the sum
    truncated at the edges of the column, and a = alpha / n (2012 code, Caffe, PyTorch)
    or a = alpha (the paper's text, TensorFlow).

    Args:
        x: `[..., channels]`; alpha assumes activations of pixels on 0-255.
        num_columns: number of columns of channels; windows end at column boundaries.

    Returns:
        An array of the shape and dtype of x.
    """
    grouped = x.reshape(*x.shape[:-1], num_columns, x.shape[-1] // num_columns)
    grouped = grouped.astype(jnp.float32)  # bfloat16 is too coarse for the sums
    total = _windowed_sum(jnp.square(grouped), size, axes=(-1,))
    scale = alpha / size if alpha_divided_by_n else alpha
    y = grouped * _inverse_power(k + scale * total, beta)
    return y.reshape(x.shape).astype(x.dtype)


def spatial_response_norm(
    x: jax.Array,
    *,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    alpha_divided_by_n: bool,
) -> jax.Array:
    """Response normalisation over neighbouring pixels of the same map.

    y = x / (k + a * sum of x^2 over size x size pixels)^beta, the sum truncated at the
    edges of the map, a = alpha / size^2 (2012 code, layer.py, also at the edges) or
    a = alpha. Configuration 145 has it in layer 2; the paper does not mention it.

    Args:
        x: `[batch, height, width, channels]`.

    Returns:
        An array of the shape and dtype of x.
    """
    precise = x.astype(jnp.float32)  # bfloat16 is too coarse for the sums
    total = _windowed_sum(jnp.square(precise), size, axes=(-3, -2))
    scale = alpha / size**2 if alpha_divided_by_n else alpha
    return (precise * _inverse_power(k + scale * total, beta)).astype(x.dtype)


def _windowed_sum(x: jax.Array, size: int, axes: tuple[int, ...]) -> jax.Array:
    """Sums over a window around each entry, along one axis after the other."""
    before = size // 2
    for axis in axes:
        window, edges = [1] * x.ndim, [(0, 0)] * x.ndim
        window[axis], edges[axis] = size, (before, size - 1 - before)
        x = lax.reduce_window(x, 0.0, lax.add, window, [1] * x.ndim, edges)
    return x


def _inverse_power(y: jax.Array, beta: float) -> jax.Array:
    """y^-beta; for beta = 0.75 by square roots, several times as fast as a power."""
    if beta == 0.75:
        root = lax.rsqrt(y)
        return root * jnp.sqrt(root)
    return y**-beta
