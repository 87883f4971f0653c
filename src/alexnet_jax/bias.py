"""Adding a bias, with a gradient that CPUs sum on all their threads."""

import jax
import jax.numpy as jnp

from alexnet_jax.system import devices


@jax.custom_vjp
def plus_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
    """y + bias, for y `[..., features]` and a bias `[features]` of the same dtype."""
    return y + jnp.expand_dims(bias, range(y.ndim - 1))


def _forward(y: jax.Array, bias: jax.Array) -> tuple[jax.Array, None]:
    return plus_bias(y, bias), None


def _backward(_: None, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The gradient of the bias is the sum over all axes but the last.

    XLA on CPU computes such a sum on one thread, together with what comes before it: a
    quarter of a step of alexnet2012. A product with ones runs on all threads. The
    barrier keeps it apart from what comes before, which the kernel needs as well.
    """
    if devices.platform() != "cpu":
        return gradient, gradient.sum(range(gradient.ndim - 1))
    rows = jax.lax.optimization_barrier(gradient).reshape(-1, gradient.shape[-1])
    return gradient, jnp.ones(len(rows), rows.dtype) @ rows


plus_bias.defvjp(_forward, _backward)
