"""train_step.py: the gradient of the whole batch, in less memory."""

import dataclasses
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_columns import STATISTICS, make_mesh, random_batch, run_steps, tiny_config

from alexnet_jax import (
    columns,
    config_checks,
    train_step,
)
from alexnet_jax.errors import UserError


def in_parts(parts, **model):
    config = tiny_config(dropout_rate=0.0, **model)
    return dataclasses.replace(config, batch_size=8, microbatches=parts)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_mean_over_parts(parts):
    """Against a loop; every example is in one part, and the parts' keys differ."""
    batch = np.arange(24, dtype=np.float32).reshape(8, 3)
    key = jax.random.key(3)

    def function(part, key):
        square = (part**2).mean(axis=0)
        return {"square": square, "draw": jax.random.uniform(key)}

    found = train_step.mean_over_parts(function, batch, key, parts)
    np.testing.assert_allclose(found["square"], (batch**2).mean(axis=0), rtol=1e-6)
    keys = [key] if parts == 1 else list(jax.random.split(key, parts))
    draws = [float(jax.random.uniform(one)) for one in keys]
    np.testing.assert_allclose(found["draw"], np.mean(draws), rtol=1e-6)
    assert len(set(draws)) == parts


@pytest.mark.parametrize("data, column, parts", [(1, 1, 4), (2, 1, 4), (2, 2, 2)])
def test_steps_are_those_of_the_whole_batch(data, column, parts):
    losses, whole = run_steps(in_parts(1), make_mesh(1, 1), steps=2)
    others, state = run_steps(in_parts(parts), make_mesh(data, column), steps=2)
    np.testing.assert_allclose(others, losses, rtol=2e-5)
    for one, other in zip(
        jax.tree.leaves(whole.params), jax.tree.leaves(state.params), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def compiled_step(parts, mesh):
    config = in_parts(parts)
    with jax.set_mesh(mesh):
        state = train_step.create_train_state(config, mesh, jax.random.key(1))
        batch = jax.device_put(random_batch(0), columns.batch_sharding(mesh))
        step = partial(train_step.train_step, config=config, steps_per_epoch=9.0)
        arguments = state, batch, jax.random.key(2), STATISTICS
        return jax.jit(step, donate_argnames="state").lower(*arguments).compile()


def loss_of_four_convolutions(kernels, image):
    for kernel in kernels:
        image = jnp.tanh(jax.lax.conv(image, kernel, (1, 1), "SAME"))
    return jnp.mean(image**2)


def test_memory_falls():
    """A part begins when the one before has ended: one part's activations are there."""
    kernels = [jnp.zeros((16, 16, 3, 3))] * 4

    def gradients(images, parts):
        def function(part, key):
            return jax.grad(loss_of_four_convolutions)(kernels, part)

        return train_step.mean_over_parts(function, images, jax.random.key(0), parts)

    whole, parts = (
        jax.jit(partial(gradients, parts=parts))
        .lower(jnp.zeros((32, 16, 32, 32)))
        .compile()
        .memory_analysis()
        .temp_size_in_bytes
        for parts in (1, 4)
    )
    assert parts < 0.4 * whole


def test_no_rows_move_between_devices():
    """Data parallel: the gradients and a few numbers are summed, nothing else."""
    text = compiled_step(2, make_mesh(4, 1)).as_text()
    assert set(re.findall(r"all-\w+|collective-\w+|reduce-scatter", text)) == {
        "all-reduce"
    }


def test_microbatches_that_do_not_divide():
    config = in_parts(3)
    with pytest.raises(UserError, match="--microbatches 3 does not divide the 4"):
        config_checks.check_batch(config, data_devices=2)
