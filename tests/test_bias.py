"""Adding a bias: the sum, and its gradient in the form of each platform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax.bias import plus_bias


def arrays(shape, dtype):
    generator = np.random.default_rng(0)
    draw = [generator.normal(size=s).astype(np.float32) for s in (shape, shape[-1:])]
    return [jnp.asarray(array, dtype) for array in draw]


@pytest.mark.parametrize("shape", [(3, 4), (2, 5, 5, 4)], ids=str)
def test_the_sum(shape):
    y, bias = arrays(shape, jnp.float32)
    np.testing.assert_array_equal(plus_bias(y, bias), np.asarray(y) + np.asarray(bias))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("shape", [(300, 4), (20, 15, 15, 4)], ids=str)
def test_the_gradient(shape, dtype, computed_as_on):
    """Against sums in float64."""
    y, bias = arrays(shape, dtype)
    gradient, _ = arrays(shape, dtype)
    of_y, of_bias = jax.vjp(plus_bias, y, bias)[1](gradient)
    assert of_y.dtype == of_bias.dtype == dtype
    np.testing.assert_array_equal(of_y, gradient)
    exact = np.asarray(gradient, np.float64).sum(axis=tuple(range(len(shape) - 1)))
    tolerance = 1e-5 if dtype == jnp.float32 else 1e-2
    np.testing.assert_allclose(
        of_bias.astype(jnp.float32), exact, rtol=tolerance, atol=300 * tolerance / 10
    )
