"""optimizer.py against a numpy transcription of the paper's two equations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest

from alexnet_jax import optimizer, presets
from alexnet_jax.config import OptimizerConfig

PARAMS = {
    "conv1": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)},
    "fc8": {"kernel": jnp.full((3, 2), -2.0), "bias": jnp.zeros(2)},
}


def gradients(step):
    keys = iter(jax.random.split(jax.random.key(step), 4))
    return jax.tree.map(lambda w: jax.random.normal(next(keys), w.shape), PARAMS)


def rates(epoch, settings, num_drops=0, num_epochs=90.0):
    kernel, bias = optimizer.learning_rates(
        jnp.float32(epoch),
        jnp.int32(num_drops),
        num_epochs=num_epochs,
        settings=settings,
    )
    return float(kernel), float(bias)


def apply_steps(settings, steps, epoch_of):
    transformation = optimizer.make_optimizer(settings)
    params, state = PARAMS, transformation.init(PARAMS)
    history = []
    for step in range(steps):
        epoch = jnp.float32(epoch_of(step))
        pair = optimizer.learning_rates(
            epoch, jnp.int32(0), num_epochs=10.0, settings=settings
        )
        tree = optimizer.rate_tree(params, *pair, epoch, settings)
        updates, state = transformation.update(
            gradients(step), state, params, rates=tree
        )
        params = optax.apply_updates(params, updates)
        history.append(params)
    return history


def test_update_equals_the_paper_through_a_drop():
    """The rate falls from 0.01 to 0.001 after step 4 of 12; the velocity gathered
    before keeps its size, which optax.sgd does not do."""
    settings = OptimizerConfig(schedule="epochs", drop_epochs=(4,))
    history = apply_steps(settings, 12, epoch_of=lambda step: step)
    update, params = oracle.PaperUpdate(PARAMS), PARAMS
    for step, found in enumerate(history):
        kernel, bias = (0.01, 0.02) if step < 4 else (0.001, 0.002)
        params = update(params, gradients(step), kernel, bias)
        for expected, actual in zip(
            jax.tree.leaves(params), jax.tree.leaves(found), strict=True
        ):
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)


def test_optax_sgd_is_another_rule():
    """Guards the test above: the two rules really differ from the drop on."""
    settings = OptimizerConfig(schedule="epochs", drop_epochs=(4,))
    history = apply_steps(settings, 6, epoch_of=lambda step: step)
    kernel = PARAMS["fc8"]["kernel"]
    sgd = optax.chain(
        optax.add_decayed_weights(0.0005),
        optax.sgd(lambda step: jnp.where(step < 4, 0.01, 0.001), momentum=0.9),
    )
    state = sgd.init(kernel)
    found = []
    for step in range(6):
        gradient = gradients(step)["fc8"]["kernel"]
        updates, state = sgd.update(gradient, state, kernel)
        kernel = optax.apply_updates(kernel, updates)
        found.append(float(jnp.abs(kernel - history[step]["fc8"]["kernel"]).max()))
    assert max(found[:4]) < 1e-6 < 1e-3 < found[5]


def test_biases_do_not_decay():
    settings = OptimizerConfig(schedule="constant")
    transformation = optimizer.make_optimizer(settings)
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    tree = optimizer.rate_tree(
        PARAMS, jnp.float32(0.1), jnp.float32(0.1), jnp.float32(0), settings
    )
    updates, _ = transformation.update(
        zero, transformation.init(PARAMS), PARAMS, rates=tree
    )
    np.testing.assert_array_equal(updates["conv1"]["bias"], 0)
    np.testing.assert_allclose(
        updates["conv1"]["kernel"], -0.1 * 0.0005 * PARAMS["conv1"]["kernel"], rtol=1e-6
    )


def test_a_frozen_layer_stays_to_the_bit():
    settings = OptimizerConfig(
        schedule="constant", layer_rates=(("conv1", 2, 1e-5), ("conv1", 4, 0.0))
    )
    history = apply_steps(settings, 8, epoch_of=lambda step: step)
    for kind in ("kernel", "bias"):
        moved = [
            not np.array_equal(
                history[i][("conv1")][kind], history[i + 1]["conv1"][kind]
            )
            for i in range(7)
        ]
        assert moved == [True, True, True, False, False, False, False]
    assert not np.array_equal(history[6]["fc8"]["kernel"], history[7]["fc8"]["kernel"])


def test_multipliers_scale_the_schedule_of_a_layer():
    """Kernel and bias alike, at every drop; 0 freezes; other layers are unchanged."""
    plain = OptimizerConfig(schedule="epochs", drop_epochs=(3,))
    scaled = dataclasses.replace(plain, layer_multipliers=("conv1:0.5",))
    for epoch, kernel, bias in ((0, 0.01, 0.02), (5, 0.001, 0.002)):
        rates = optimizer.learning_rates(
            jnp.float32(epoch), jnp.int32(0), num_epochs=8, settings=scaled
        )
        tree = optimizer.rate_tree(PARAMS, *rates, jnp.float32(epoch), scaled)
        found = [
            tree[layer][kind] for layer in tree for kind in sorted(tree[layer])[::-1]
        ]
        expected = [
            factor * rate
            for layer in tree
            for factor in [0.5 if layer == "conv1" else 1]
            for rate in (kernel, bias)
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    frozen = dataclasses.replace(plain, layer_multipliers=("conv1:0", "fc8:1"))
    with_plain = apply_steps(plain, 6, epoch_of=lambda step: step)
    history = apply_steps(frozen, 6, epoch_of=lambda step: step)
    np.testing.assert_array_equal(
        history[5]["conv1"]["kernel"], history[0]["conv1"]["kernel"]
    )
    np.testing.assert_array_equal(
        history[5]["fc8"]["kernel"], with_plain[5]["fc8"]["kernel"]
    )


@pytest.mark.parametrize(
    "epoch, expected",
    [
        (0, (0.01, 0.02)),
        (24.9, (0.01, 0.02)),
        (25, (0.001, 0.002)),
        (51, (0.0001, 0.002)),
        (79, (0.00001, 0.002)),
    ],
)
def test_logged_schedule_of_145(epoch, expected):
    settings = presets.ALEXNET2012.optimizer
    np.testing.assert_allclose(rates(epoch, settings), expected, rtol=1e-5)


@pytest.mark.parametrize("epoch, rate", [(66, 1e-4), (67, 1e-5), (72, 0.0), (90, 0.0)])
def test_conv1_of_145_is_slowed_and_frozen(epoch, rate):
    settings = presets.ALEXNET2012.optimizer
    pair = optimizer.learning_rates(
        jnp.float32(epoch), jnp.int32(0), num_epochs=91, settings=settings
    )
    tree = optimizer.rate_tree(PARAMS, *pair, jnp.float32(epoch), settings)
    np.testing.assert_allclose(tree["conv1"]["kernel"], rate, rtol=1e-5)
    assert float(tree["fc8"]["kernel"]) > 0


def test_levels_of_170():
    """The rates that the log of configuration 170 names: 0.01, 0.0015874011,
    0.00025198421, 0.00004, in quarters of the run; biases in two halves."""
    settings = OptimizerConfig(schedule="levels")
    found = [rates(epoch, settings, num_epochs=80) for epoch in (0, 19, 20, 40, 60, 80)]
    np.testing.assert_allclose(
        [kernel for kernel, _ in found],
        [0.01, 0.01, 0.0015874011, 0.00025198421, 0.00004, 0.00004],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        [bias for _, bias in found], [0.02, 0.02, 0.02, 0.002, 0.002, 0.002], rtol=1e-5
    )


def test_cosine_and_constant():
    cosine = OptimizerConfig(schedule="cosine")
    np.testing.assert_allclose(rates(0, cosine), (0.01, 0.02), rtol=1e-6)
    np.testing.assert_allclose(rates(45, cosine), (0.005, 0.01), rtol=1e-5)
    np.testing.assert_allclose(rates(90, cosine), (0, 0), atol=1e-9)
    constant = OptimizerConfig(schedule="constant")
    np.testing.assert_allclose(rates(89, constant), (0.01, 0.02), rtol=1e-6)


def drops_of(errors, settings):
    plateau, drops = optimizer.initial_plateau(), []
    for error in errors:
        plateau = optimizer.after_evaluation(plateau, jnp.float32(error), settings)
        drops.append(int(plateau.num_drops))
    return drops


def test_plateau_drops_when_the_error_stalls():
    settings = OptimizerConfig(
        schedule="plateau",
        plateau_patience=2,
        plateau_min_improvement=0.01,
        plateau_max_drops=2,
    )
    errors = [0.5, 0.4, 0.395, 0.399, 0.3, 0.3, 0.3, 0.3, 0.3]
    #                    one    two: drop        drop      no third
    assert drops_of(errors, settings) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_plateau_rates_follow_the_drops():
    settings = presets.ALEXNET_PAPER.optimizer
    found = [rates(10, settings, num_drops=drops) for drops in range(4)]
    expected = [(0.01 / 10**drops, 0.01 / 10**drops) for drops in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    limited = dataclasses.replace(settings, max_bias_drops=1)
    np.testing.assert_allclose(rates(10, limited, 3), (1e-5, 1e-3), rtol=1e-5)
