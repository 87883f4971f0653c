"""bfloat16 activations: near float32, float32 where it matters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax import columns, model, pooling, presets, response_norm, train_step
from alexnet_jax.config import MeshConfig, Pool

DIGITS = presets.DIGITS.model


def with_precision(precision):
    return dataclasses.replace(DIGITS, precision=precision)


@pytest.fixture(scope="module")
def params():
    net = model.AlexNet(DIGITS)
    return net.init(jax.random.key(0), jnp.zeros((1, 24, 24, 3)), train=False)["params"]


@pytest.fixture(scope="module")
def view():
    return 60 * jax.random.normal(jax.random.key(1), (8, 24, 24, 3))


@pytest.mark.parametrize("precision, tolerance", [("tf32", 1e-6), ("bfloat16", 0.03)])
def test_logits_are_near_those_of_float32(params, view, precision, tolerance):
    expected = model.logits(DIGITS, params, view)
    found = model.logits(with_precision(precision), params, view)
    assert found.dtype == jnp.float32
    difference = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert difference < tolerance
    assert (precision == "bfloat16") == (difference > 0)


def test_parameters_and_gradients_stay_float32(params, view):
    config = dataclasses.replace(presets.DIGITS, model=with_precision("bfloat16"))
    label = jnp.arange(8, dtype=jnp.int32)
    loss, gradients = jax.value_and_grad(
        lambda p: train_step.loss_fn(p, view, label, jax.random.key(2), config=config)[
            0
        ]
    )(params)
    assert loss.dtype == jnp.float32
    for leaf in jax.tree.leaves(gradients):
        assert leaf.dtype == jnp.float32 and bool(jnp.isfinite(leaf).all())


def test_activations_are_bfloat16(params, view):
    net = model.AlexNet(with_precision("bfloat16"))
    _, sown = net.apply(
        {"params": params}, view, train=False, mutable=["intermediates"]
    )
    for name, (value,) in sown["intermediates"].items():
        assert value.dtype == jnp.bfloat16, name


def test_what_the_devices_send_halves(params, view):
    """The gathers of the compiled forward pass, on two columns."""
    mesh = columns.make_mesh(MeshConfig(data=1, column=2), 2, jax.devices())
    sizes = {}
    for precision in ("float32", "bfloat16"):
        net = with_precision(precision)
        with jax.set_mesh(mesh):
            jaxpr = str(
                jax.make_jaxpr(
                    lambda p, x: model.logits(net, p, x)  # noqa: B023
                )(params, view)
            )
        gathers = [line for line in jaxpr.splitlines() if "= all_gather[" in line]
        sizes[precision] = {line.split(":")[1][:3] for line in gathers}
    assert sizes == {"float32": {"f32"}, "bfloat16": {"bf1"}}


def test_norms_sum_in_float32():
    """256 + 1/4 is 256 in bfloat16: sums in it would lose the small neighbours."""
    x = jnp.asarray([[16.0, 0.5, 0.5, 0.5, 0.5]], jnp.bfloat16)
    settings = dict(size=5, k=0.0, alpha=1.0, beta=1.0, alpha_divided_by_n=False)
    y = response_norm.local_response_norm(x, **settings, num_columns=1)
    expected = 0.5 / (256 + 4 * 0.25)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(float(y[0, 2]), expected, rtol=2**-8)


def test_max_pool_in_bfloat16():
    x = jax.random.normal(jax.random.key(0), (1, 7, 7, 2), jnp.bfloat16)
    pool = Pool(window=3, stride=2)
    y, pullback = jax.vjp(lambda x: pooling.max_pool(x, pool), x)
    assert y.dtype == pullback(y)[0].dtype == jnp.bfloat16
