"""response_norm.py against loops, values by hand and PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from alexnet_jax import response_norm


def activations(*shape, scale=50.0):
    return jax.random.normal(jax.random.key(7), shape) * scale


@pytest.mark.usefixtures("computed_as_on")
@pytest.mark.parametrize("size", [3, 5, 9])
@pytest.mark.parametrize("num_columns", [1, 2])
@pytest.mark.parametrize("divided", [True, False])
def test_local_response_norm_equals_loops(size, num_columns, divided):
    x = activations(2, 3, 3, 16)
    y = response_norm.local_response_norm(
        x,
        size=size,
        k=2.0,
        alpha=1e-4,
        beta=0.75,
        alpha_divided_by_n=divided,
        num_columns=num_columns,
    )
    scale = 1e-4 / size if divided else 1e-4
    expected = oracle.local_response_norm(x, size, 2.0, scale, 0.75, num_columns)
    np.testing.assert_allclose(y, expected, rtol=2e-6)


def test_local_response_norm_by_hand():
    """Maps 1, 2, 3 with n = 3, k = 1, alpha = 3 divided by n, beta = 1: divisors
    1 + (1 + 4), 1 + (1 + 4 + 9), 1 + (4 + 9). PyTorch's LocalResponseNorm(3, 3, 1, 1)
    gives the same."""
    y = response_norm.local_response_norm(
        jnp.array([[1.0, 2.0, 3.0]]),
        size=3,
        k=1.0,
        alpha=3.0,
        beta=1.0,
        alpha_divided_by_n=True,
        num_columns=1,
    )
    np.testing.assert_allclose(y, [[1 / 6, 2 / 15, 3 / 14]], rtol=1e-6)


@pytest.mark.parametrize("divided", [True, False])
def test_local_response_norm_equals_pytorch(divided):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = activations(2, 12, 5, 5)
    alpha = 1e-4 if divided else 5e-4  # PyTorch divides
    expected = torch.nn.LocalResponseNorm(5, alpha=alpha, beta=0.75, k=2.0)(
        torch.tensor(np.asarray(x))
    )
    y = response_norm.local_response_norm(
        jnp.moveaxis(x, 1, -1),
        size=5,
        k=2.0,
        alpha=1e-4,
        beta=0.75,
        alpha_divided_by_n=divided,
        num_columns=1,
    )
    np.testing.assert_allclose(jnp.moveaxis(y, -1, 1), expected, rtol=1e-5)


def test_columns_do_not_see_each_other():
    """A change in column 1 leaves column 0 as it is, at the seam too."""

    def norm(x):
        return response_norm.local_response_norm(
            x,
            size=5,
            k=2.0,
            alpha=1.0,
            beta=0.75,
            alpha_divided_by_n=True,
            num_columns=2,
        )

    x = activations(1, 96)
    changed = x.at[:, 48:].add(100.0)
    np.testing.assert_array_equal(norm(x)[:, :48], norm(changed)[:, :48])


@pytest.mark.usefixtures("computed_as_on")
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("divided", [True, False])
def test_spatial_response_norm_equals_loops(size, divided):
    x = activations(2, 6, 7, 3)
    y = response_norm.spatial_response_norm(
        x, size=size, k=1.0, alpha=1e-3, beta=0.75, alpha_divided_by_n=divided
    )
    scale = 1e-3 / size**2 if divided else 1e-3
    expected = oracle.spatial_response_norm(x, size, 1.0, scale, 0.75)
    np.testing.assert_allclose(y, expected, rtol=2e-6)


def numerical_gradient(function, x, step=1e-4):
    """Central differences of a scalar function, float64."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        before, after = x.copy(), x.copy()
        before[index] -= step
        after[index] += step
        gradient[index] = (function(after) - function(before)) / (2 * step)
    return gradient


FORMS = {
    "over maps": (response_norm.local_response_norm, {"num_columns": 2}),
    "over pixels": (response_norm.spatial_response_norm, {}),
}


@pytest.mark.usefixtures("computed_as_on")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [3, 4, 5])
@pytest.mark.parametrize("beta", [0.75, 0.5])
def test_gradient_equals_differences(form, size, beta):
    """In float64. The sums count: alpha is large enough. Windows of even sizes are not
    symmetric, so there the gradient needs the transposed windows."""
    norm, options = FORMS[form]
    options = options | {"size": size, "k": 1.5, "alpha": 0.3, "beta": beta}
    options["alpha_divided_by_n"] = False
    generator = np.random.default_rng(size)
    x = generator.normal(size=(1, 4, 5, 8))
    weights = generator.normal(size=x.shape)
    with jax.enable_x64(True):

        def loss(x):
            return jnp.sum(norm(x, **options) * weights)

        gradient = jax.grad(loss)(jnp.asarray(x))
        assert gradient.dtype == jnp.float64
        expected = numerical_gradient(jax.jit(loss), x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("form", FORMS)
def test_only_x_is_kept_for_the_gradient(form):
    """In its own dtype, not the sums in float32."""
    norm, options = FORMS[form]
    options = options | {"size": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75}
    x = activations(2, 6, 6, 8).astype(jnp.bfloat16)
    _, pullback = jax.vjp(lambda x: norm(x, **options, alpha_divided_by_n=True), x)
    kept = [leaf for leaf in jax.tree.leaves(pullback) if leaf.ndim]
    assert [leaf.dtype for leaf in kept] == [jnp.bfloat16]
    np.testing.assert_array_equal(kept[0].reshape(x.shape), x)
    # Or else XLA finds the sums of the forward pass equal, and keeps those.
    assert str(jax.make_jaxpr(pullback)(x)).count("optimization_barrier") == 2
