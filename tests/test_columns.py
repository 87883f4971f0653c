"""columns.py: the same numbers on every layout, half of the parameters on each device,
and no more communication than the paper's."""

import dataclasses
import re
from functools import partial

import jax
import numpy as np
import oracle
import program_text
import pytest
import steps

from alexnet_jax import augment, columns, presets, train_step
from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import UserError
from alexnet_jax.model import AlexNet

MESHES = [(1, 1), (1, 2), (2, 1), (2, 2)]
STEPS_PER_EPOCH = 22.5


def make_mesh(data, column):
    return columns.make_mesh(MeshConfig(data=data, column=column), 2, jax.devices())


def tiny_config(**model):
    """The digits network; colour shift and mirrors on, so that all of a step runs."""
    config = presets.DIGITS
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, **model),
        augment=dataclasses.replace(
            config.augment, horizontal_flip=True, color_shift="2012"
        ),
    )


def random_batch(step, batch=8, size=28):
    generator = np.random.default_rng(step)
    return {
        "image": generator.integers(0, 256, (batch, size, size, 3), dtype=np.uint8),
        "label": generator.integers(0, 10, batch, dtype=np.int32),
    }


STATISTICS = augment.ImageStatistics(
    mean_image=np.full((28, 28, 3), 127.5, np.float32),
    stddev=np.array([120.0, 35.0, 18.0], np.float32),
    direction=np.eye(3, dtype=np.float32),
)


def run_steps(config, mesh, steps=4):
    """Losses and final state of a few steps of the real train step on a mesh."""
    with jax.set_mesh(mesh):
        state = train_step.create_train_state(config, mesh, jax.random.key(1))
        shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
        step = jax.jit(
            partial(
                train_step.train_step, config=config, steps_per_epoch=STEPS_PER_EPOCH
            ),
            donate_argnames="state",
            out_shardings=(shardings, columns.replicated(mesh)),
        )
        losses = []
        for number in range(steps):
            batch = jax.device_put(random_batch(number), columns.batch_sharding(mesh))
            state, values = step(state, batch, jax.random.key(2), STATISTICS)
            losses.append(float(values["loss"]))
    return np.array(losses), state


@pytest.fixture(scope="module")
def one_device():
    return run_steps(tiny_config(), make_mesh(1, 1))


@pytest.mark.parametrize("data, column", MESHES[1:] + [(4, 1)])
def test_same_steps_on_every_mesh(one_device, data, column):
    """Augmentation, dropout, gradients and update: equal within float tolerance."""
    losses, state = run_steps(tiny_config(), make_mesh(data, column))
    np.testing.assert_allclose(losses, one_device[0], rtol=2e-5)
    for found, expected in zip(
        jax.tree.leaves(state.params),
        jax.tree.leaves(one_device[1].params),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-5)


def centre_views():
    """The configuration whose training the oracle computes: nothing is random."""
    config = tiny_config(dropout_rate=0.0)
    return dataclasses.replace(
        config,
        augment=dataclasses.replace(
            config.augment,
            random_crop=False,
            horizontal_flip=False,
            color_shift="none",
        ),
    )


@pytest.fixture(scope="module")
def oracle_steps():
    """Losses and final parameters by grouped convolutions and the paper's update in
    numpy."""
    config, mesh = centre_views(), make_mesh(1, 1)
    with jax.set_mesh(mesh):
        start = train_step.create_train_state(config, mesh, jax.random.key(1))
    params = jax.tree.map(np.asarray, start.params)
    update = oracle.PaperUpdate(params)
    loss_and_gradient = jax.jit(
        jax.value_and_grad(partial(oracle.loss, net=config.model))
    )
    losses = []
    for number in range(4):
        batch = random_batch(number)
        view = batch["image"][:, 2:26, 2:26].astype(np.float32) - 127.5
        loss, gradients = loss_and_gradient(params, view, batch["label"])
        losses.append(float(loss))
        params = update(params, gradients, 0.01, 0.02)
    return np.array(losses), params


@pytest.mark.parametrize("data, column", MESHES)
def test_training_equals_the_oracle(oracle_steps, data, column):
    losses, state = run_steps(centre_views(), make_mesh(data, column), steps=4)
    np.testing.assert_allclose(losses, oracle_steps[0], rtol=2e-5)
    for found, expected in zip(
        jax.tree.leaves(state.params), jax.tree.leaves(oracle_steps[1]), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("data, column", [(1, 1), (2, 1)])
def test_grouped_convolutions_equal_the_oracle(monkeypatch, oracle_steps, data, column):
    """As on accelerators: both columns of a device in one convolution."""
    monkeypatch.setattr(columns, "platform", lambda: "gpu")
    losses, _ = run_steps(centre_views(), make_mesh(data, column), steps=4)
    np.testing.assert_allclose(losses, oracle_steps[0], rtol=2e-5)


@pytest.mark.parametrize("data, column", [(2, 1), (2, 2)])
def test_gradients_are_summed_in_float32(data, column):
    """In a bfloat16 network too. The loss is a mean over the batch by the compiler, so
    all sums that are written out are those of the parameters' gradients."""
    config = tiny_config(precision="bfloat16")
    mesh = make_mesh(data, column)
    with jax.set_mesh(mesh):
        state = train_step.abstract_train_state(config, mesh)
        view = jax.ShapeDtypeStruct((8, 24, 24, 3), np.float32)
        label = jax.ShapeDtypeStruct((8,), np.int32)
        gradient = jax.grad(partial(train_step.loss_fn, config=config), has_aux=True)
        traced = jax.make_jaxpr(gradient)(state.params, view, label, jax.random.key(0))
    sums = re.findall(r":(\w+)\[\S+ = psum\w*\[axes=\('data',\)", str(traced))
    assert len(sums) == 16 and set(sums) == {"f32"}


@pytest.mark.parametrize(
    "sees",
    [
        {"conv3": "own"},  # 127
        {"conv3": "own", "conv4": "both"},  # 132
        {"conv3": "own", "fc6": "own", "fc7": "own"},  # 150
        {"fc8": "own"},
        {"conv2": "both", "conv5": "both"},
    ],
    ids=str,
)
def test_any_communication_on_two_devices(sees):
    """Every choice of what a layer sees gives the same logits on one device and two."""
    model = presets.DIGITS.model
    model = dataclasses.replace(
        model,
        **{
            name: dataclasses.replace(getattr(model, name), sees=value)
            for name, value in sees.items()
        },
    )
    image = jax.random.normal(jax.random.key(0), (2, 24, 24, 3)) * 60
    net = AlexNet(model)
    params = net.init(jax.random.key(1), image, train=False)["params"]
    expected = net.apply({"params": params}, image, train=False)
    mesh = make_mesh(1, 2)
    split = jax.device_put(params, columns.state_sharding(mesh, params))
    with jax.set_mesh(mesh):
        found = jax.jit(lambda p, x: net.apply({"params": p}, x, train=False))(
            split, image
        )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_an_odd_number_of_classes():
    """fc8 of 11 classes does not split, and is whole on both devices."""
    model = presets.DIGITS.model
    model = dataclasses.replace(model, fc8=dataclasses.replace(model.fc8, features=11))
    config = dataclasses.replace(presets.DIGITS, model=model)
    losses, state = run_steps(config, make_mesh(1, 2), steps=2)
    expected, _ = run_steps(config, make_mesh(1, 1), steps=2)
    np.testing.assert_allclose(losses, expected, rtol=2e-5)
    assert state.params["fc8"]["kernel"].sharding.is_fully_replicated


def test_a_device_holds_half_of_the_parameters():
    """Exactly half, of parameters and velocity, of alexnet2012 itself."""
    abstract = train_step.abstract_train_state(presets.ALEXNET2012, make_mesh(1, 2))
    for tree in (abstract.params, abstract.opt_state):
        leaves = jax.tree.leaves(tree)
        whole = sum(leaf.size for leaf in leaves)
        shard = sum(
            int(np.prod(leaf.sharding.shard_shape(leaf.shape))) for leaf in leaves
        )
        assert whole == 60_965_224
        assert shard * 2 == whole


def test_bytes_on_a_device(one_device):
    """The same of arrays that exist: born split, not only declared so."""
    _, state = run_steps(tiny_config(), make_mesh(1, 2), steps=1)
    whole = columns.bytes_per_device(one_device[1].params)
    assert whole == 4 * 93_674
    assert columns.bytes_per_device(state.params) * 2 == whole


def collectives(config, mesh):
    program = steps.lowered_train(config, mesh).compile()
    return program_text.collectives(program.as_text())


def test_communication_of_alexnet2012(capsys):
    """The step of the whole network on two column devices talks in conv3, fc6, fc7 and
    fc8, forward and backward, and nowhere else but for a few numbers an image of the
    softmax and the metrics: at most 1.05 times the minimum."""
    config = presets.ALEXNET2012
    found = collectives(config, make_mesh(1, 2))
    # What a column needs of the other: conv3's, fc6's, fc7's and fc8's inputs, and
    # as much again for their gradients; float32.
    inputs = 13 * 13 * 128 + 6 * 6 * 128 + 2048 + 2048
    minimum = 2 * 4 * inputs * config.batch_size
    sent = sum(one.sent for one in found)
    kinds = [one.kind for one in found]
    with capsys.disabled():
        print(f"\nminimum {minimum} bytes a step and device, sent {sent}, ", end="")
        print(f"ratio {sent / minimum:.5f}, ", end="")
        print({kind: kinds.count(kind) for kind in sorted(set(kinds))})
    assert minimum == 242_688 * config.batch_size
    assert minimum <= sent <= 1.05 * minimum
    assert kinds.count("all-gather") == kinds.count("reduce-scatter") == 4
    assert not {"all-to-all", "collective-permute"} & set(kinds)


def test_data_parallel_gathers_nothing():
    """Along the batch only gradients (and numbers for the log) are added up."""
    found = collectives(tiny_config(), make_mesh(2, 1))
    assert {one.kind for one in found} == {"all-reduce"}


def test_the_step_compiles_once():
    config, mesh = tiny_config(), make_mesh(2, 2)
    step = partial(
        train_step.train_step, config=config, steps_per_epoch=STEPS_PER_EPOCH
    )
    traces = []

    def counted(*arguments):
        traces.append(1)
        return step(*arguments)

    with jax.set_mesh(mesh):
        state = train_step.create_train_state(config, mesh, jax.random.key(1))
        shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
        compiled = jax.jit(counted, out_shardings=(shardings, columns.replicated(mesh)))
        for number in range(3):
            batch = jax.device_put(random_batch(number), columns.batch_sharding(mesh))
            state, _ = compiled(state, batch, jax.random.key(2), STATISTICS)
    assert len(traces) == 1


@pytest.mark.parametrize(
    "mesh, message",
    [
        (MeshConfig(data=3, column=2), "needs 6 devices, and there are 4"),
        (MeshConfig(data=8), "needs 16 devices"),
        (MeshConfig(column=3), "lie on 1 device or on 2"),
    ],
)
def test_impossible_meshes(mesh, message):
    with pytest.raises(UserError, match=message):
        columns.make_mesh(mesh, 2, jax.devices())


@pytest.mark.parametrize(
    "devices, num_columns, expected",
    [(1, 2, (1, 1)), (2, 2, (1, 2)), (3, 2, (3, 1)), (4, 2, (2, 2)), (4, 1, (4, 1))],
)
def test_default_meshes(devices, num_columns, expected):
    mesh = columns.make_mesh(MeshConfig(), num_columns, jax.devices()[:devices])
    assert (mesh.shape["data"], mesh.shape["column"]) == expected
