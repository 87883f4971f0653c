"""layers.py and pooling.py against loops and values by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax import layers, pooling
from alexnet_jax.config import Pool


def activations(*shape, scale=50.0):
    return jax.random.normal(jax.random.key(7), shape) * scale


@pytest.mark.usefixtures("computed_as_on")
@pytest.mark.parametrize("size", range(4, 12))
@pytest.mark.parametrize("window, stride", [(3, 2), (2, 2), (3, 3)])
@pytest.mark.parametrize("ceil", [True, False])
def test_max_pool_equals_loops(size, window, stride, ceil):
    x = np.asarray(activations(1, size, size, 2))
    rounding = np.ceil if ceil else np.floor
    outputs = int(rounding((size - window) / stride)) + 1
    expected = np.array(
        [
            [
                x[
                    0,
                    row * stride : row * stride + window,
                    column * stride : column * stride + window,
                ].max(axis=(0, 1))
                for column in range(outputs)
            ]
            for row in range(outputs)
        ]
    )
    pool = Pool(window=window, stride=stride, ceil=ceil)
    np.testing.assert_array_equal(pooling.max_pool(jnp.asarray(x), pool)[0], expected)


@pytest.mark.usefixtures("computed_as_on")
@pytest.mark.parametrize("size", [(8, 6), (7, 9), (4, 5)])
@pytest.mark.parametrize("window, stride", [(3, 2), (2, 2), (3, 3), (3, 1), (2, 3)])
@pytest.mark.parametrize("ceil", [True, False])
def test_gradient_of_max_pool_goes_to_every_maximum(size, window, stride, ceil):
    """By loops, on few different values, so that many are equal."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, 3, (2, *size, 2)).astype(np.float32)
    pool = Pool(window=window, stride=stride, ceil=ceil)
    y, pullback = jax.vjp(lambda x: pooling.max_pool(x, pool), x)
    gradient = generator.normal(size=y.shape).astype(np.float32)
    expected = np.zeros(x.shape, np.float64)
    for i, j in np.ndindex(y.shape[1:3]):
        rows = slice(stride * i, stride * i + window)
        columns = slice(stride * j, stride * j + window)
        hit = x[:, rows, columns] == np.asarray(y)[:, i : i + 1, j : j + 1]
        expected[:, rows, columns] += hit * gradient[:, i : i + 1, j : j + 1]
    np.testing.assert_allclose(pullback(gradient)[0], expected, rtol=1e-5, atol=1e-6)


def dropped(form, *, train, rate=0.5):
    return layers.dropout(
        jnp.ones((1000, 50)),
        variant=form,
        rate=rate,
        train=train,
        make_key=lambda: jax.random.key(3),
    )


@pytest.mark.parametrize(
    "form, kept, tested", [("2012", 1.0, 0.75), ("inverted", 4 / 3, 1.0)]
)
def test_dropout_values(form, kept, tested):
    """Drop a quarter: 2012 leaves the kept ones and scales in testing, inverted scales
    the kept ones and leaves testing."""
    train = dropped(form, train=True, rate=0.25)
    np.testing.assert_allclose(np.unique(train), [0.0, kept], rtol=1e-6)
    np.testing.assert_allclose(jnp.mean(train > 0), 0.75, atol=0.01)
    np.testing.assert_allclose(dropped(form, train=False, rate=0.25), tested)


@pytest.mark.parametrize("train", [True, False])
def test_the_mean_draws_no_mask(train):
    np.testing.assert_array_equal(dropped("mean", train=train, rate=0.25), 0.75)


@pytest.mark.parametrize("form", ["2012", "inverted", "mean"])
@pytest.mark.parametrize("train", [True, False])
def test_a_rate_of_0_drops_and_scales_nothing(form, train):
    np.testing.assert_array_equal(dropped(form, train=train, rate=0.0), 1.0)


def test_dense_keeps_columns_apart():
    """With sees="own" half of the units ignores the other column's maps."""
    dense = layers.Dense(
        6,
        sees="own",
        num_columns=2,
        kernel_init=jax.nn.initializers.normal(),
        bias_init=jax.nn.initializers.zeros,
    )
    x = activations(2, 3, 3, 8)
    params = dense.init(jax.random.key(0), x)
    changed = x.at[..., 4:].set(0.0)
    before, after = dense.apply(params, x), dense.apply(params, changed)
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert not np.array_equal(before[:, 3:], after[:, 3:])
    assert params["params"]["kernel"].shape == (3, 3, 4, 6)


def test_pool_of_one_is_identity():
    x = activations(1, 5, 5, 2)
    assert pooling.max_pool(x, dataclasses.replace(Pool(), ceil=False)) is x
