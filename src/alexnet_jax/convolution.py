"""A convolution, whose kernel gradient XLA computes itself on CPU."""

from functools import partial

import jax
import jax.numpy as jnp

from alexnet_jax.system import devices

Padding = tuple[int, int]
"""Pixels before and after, along one axis."""


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> jax.Array:
    """y[i, j] = sum of kernel[a, b] x[stride i + a, stride j + b] over the window.

    Args:
        x: `[batch, height, width, channels]`, of the kernel's dtype.
        kernel: `[height, width, channels seen, features]`. Where it sees a part of the
            channels, so many groups of features see one part each.
        padding: along both axes, with 0.
    """
    return _convolution(x, kernel, stride, (padding, padding))


def _convolution(
    x: jax.Array, kernel: jax.Array, stride: int, padding: tuple[Padding, Padding]
) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1] // kernel.shape[-2],
    )


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve(x, kernel, stride, padding), (x, kernel)


def _backward(
    stride: int,
    padding: Padding,
    kept: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The transposes of the convolution, which is linear in x and in the kernel."""
    x, kernel = kept
    paddings = (padding, padding)
    (of_x,) = jax.linear_transpose(
        lambda x: _convolution(x, kernel, stride, paddings), x
    )(gradient)
    if devices.has_onednn():
        x, paddings = _kept_from_onednn(x, padding)
    (of_kernel,) = jax.linear_transpose(
        lambda kernel: _convolution(x, kernel, stride, paddings), kernel
    )(gradient)
    return of_x, of_kernel


def _kept_from_onednn(
    x: jax.Array, padding: Padding
) -> tuple[jax.Array, tuple[Padding, Padding]]:
    """x with its rows padded, and the padding that is left, which is negative.

    Such convolutions are not left to oneDNN. It takes twice as long as XLA's own code
    for the gradients of kernels; it is faster for the others.
    """
    low, high = padding
    rows = (low, high + 1)
    x = jax.lax.optimization_barrier(jnp.pad(x, ((0, 0), rows, (0, 0), (0, 0))))
    return x, ((0, -1), padding)


convolve.defvjp(_forward, _backward)
