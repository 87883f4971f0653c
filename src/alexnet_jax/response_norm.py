"""Response normalisation over maps (paper section 3.3) and over pixels (2012 code).

It needs JAX alone, so that other projects can take this file.
"""

import functools
from typing import Any

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
    scale = alpha / size if alpha_divided_by_n else alpha
    y: Any = _normalized(grouped, size, (-1,), k, scale, beta)
    return y.reshape(x.shape)


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
    scale = alpha / size**2 if alpha_divided_by_n else alpha
    return _normalized(x, size, (-3, -2), k, scale, beta)


def _formula(
    x: jax.Array,
    size: int,
    axes: tuple[int, ...],
    k: float,
    scale: float,
    beta: float,
) -> jax.Array:
    """x / d^beta with d = k + scale * (sum of x^2 over a window along the axes)."""
    divisor = k + scale * _sum_of_squares(x, size, axes)
    return (_precise(x) * _inverse_power(divisor, beta)).astype(x.dtype)


_normalized = jax.custom_vjp(_formula, nondiff_argnums=(1, 2, 3, 4, 5))


def _forward(x: jax.Array, *settings: Any) -> tuple[jax.Array, jax.Array]:
    return _formula(x, *settings), x


def _backward(*arguments: Any) -> tuple[jax.Array]:
    """Only x is kept from the forward pass, so all is computed again from it. On TPU
    sums over windows are kernels of their own; there it takes fewer bytes to let XLA
    find what the forward pass has computed, and keep that."""
    *settings, x, gradient = arguments

    def automatic(x: jax.Array, gradient: jax.Array) -> jax.Array:
        _, pullback = jax.vjp(lambda x: _formula(x, *settings), x)
        return pullback(gradient)[0]

    by_hand = functools.partial(_gradient, *settings)
    return (lax.platform_dependent(x, gradient, tpu=automatic, default=by_hand),)


def _gradient(
    size: int,
    axes: tuple[int, ...],
    k: float,
    scale: float,
    beta: float,
    x: jax.Array,
    gradient: jax.Array,
) -> jax.Array:
    """g_i / d_i^beta - 2 scale beta x_i * (sum of g_j x_j / d_j^(beta + 1) over the
    windows j in which i lies), with g the gradient with respect to y.

    Without the barriers XLA would find that the divisors are those of the forward pass,
    and keep those, in float32. What the windows sum is stored in the dtype of x: half
    the bytes in bfloat16.
    """
    x, gradient = lax.optimization_barrier((x, gradient))
    divisor = k + scale * _sum_of_squares(x, size, axes)
    by_divisor = _precise(gradient) * _inverse_power(divisor, beta) / divisor
    term = (by_divisor * _precise(x)).astype(x.dtype)

    x, gradient, term = lax.optimization_barrier((x, gradient, term))
    divisor = k + scale * _sum_of_squares(x, size, axes)
    own = _precise(gradient) * _inverse_power(divisor, beta)
    others = _windowed_sum(_precise(term), size, axes, transposed=True)
    return (own - 2 * scale * beta * _precise(x) * others).astype(x.dtype)


_normalized.defvjp(_forward, _backward)


def _precise(x: jax.Array) -> jax.Array:
    """At least float32: bfloat16 is too coarse for the sums."""
    return x if jnp.finfo(x.dtype).bits >= 32 else x.astype(jnp.float32)


def _sum_of_squares(x: jax.Array, size: int, axes: tuple[int, ...]) -> jax.Array:
    return _windowed_sum(jnp.square(_precise(x)), size, axes)


def _windowed_sum(
    x: jax.Array, size: int, axes: tuple[int, ...], *, transposed: bool = False
) -> jax.Array:
    """Sums over a window around each entry.

    Entry i is the sum of x[i - size // 2] and what follows, `size` entries along each
    axis; transposed, over the j whose windows contain i: they differ for even sizes.
    """
    before = (size - 1) // 2 if transposed else size // 2

    def windows(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
        window, edges = [1] * x.ndim, [(0, 0)] * x.ndim
        for axis in axes:
            window[axis], edges[axis] = size, (before, size - 1 - before)
        return lax.reduce_window(x, 0.0, lax.add, window, [1] * x.ndim, edges)

    # One axis after the other is less work. All at once is one pass over memory, which
    # counts on GPUs.
    return lax.platform_dependent(
        x,
        cuda=lambda x: windows(x, axes),
        default=lambda x: functools.reduce(
            lambda x, axis: windows(x, (axis,)), axes, x
        ),
    )


def _inverse_power(y: jax.Array, beta: float) -> jax.Array:
    """y^-beta; for beta = 0.75 by square roots, several times as fast as a power."""
    return lax.rsqrt(y * jnp.sqrt(y)) if beta == 0.75 else y**-beta
