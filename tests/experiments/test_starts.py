"""The variants of a question start from comparable losses, and none diverges.

`python -m pytest -m slow -rP tests/experiments/test_starts.py -k "dropout or recipe"`
runs a part of the slow tests and prints the losses.
"""

import contextlib
import dataclasses
import functools
import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax import augment, columns, model, train_step
from alexnet_jax.config import MeshConfig
from alexnet_jax.data import image_statistics, loader
from alexnet_jax.data.source import open_source
from alexnet_jax.system import devices
from experiments import plan
from experiments.variants import changed

LARGEST_RISE = 1.0
STEPS = 200
SMALL_IMAGES = ("cifar10", "tiny_imagenet")
RUNS = sorted(plan.run_names(plan.base_config("cifar10")).values())


def base_on(preset, test_data):
    """The preset on the available data: half of the classes of Tiny ImageNet."""
    base = plan.base_config(preset, data_dir=str(test_data / "tfds"))
    if preset == "tiny_imagenet":
        of_half = {"data.name": "tiny_imagenet_100", "model.fc8.features": 100}
        base = changed(base, of_half)
    if not (test_data / "tfds" / base.data.name).exists():
        pytest.skip(f"there is no {base.data.name} in {test_data / 'tfds'}")
    return base


@functools.cache
def opened(data):
    """The training set, and its statistics."""
    source = open_source(data, data.train_split)
    statistics = image_statistics.compute(source, num_workers=None)
    stddev, direction = image_statistics.principal_components(statistics.covariance)
    return source, augment.ImageStatistics(statistics.mean_image, stddev, direction)


def losses(config, steps):
    """The loss before each of the first updates."""
    source, images = opened(config.data)
    grid = MeshConfig(data=1, column=1)
    mesh = columns.make_mesh(grid, config.model.num_columns, jax.devices())
    batches = loader.train_batches(
        source,
        seed=0,
        batch_size=config.batch_size,
        start_step=0,
        sharding=columns.batch_sharding(mesh),
        num_workers=None,
    )
    step = partial(
        train_step.train_step,
        config=config,
        steps_per_epoch=source.num_examples / config.batch_size,
    )
    found = []
    with jax.set_mesh(mesh), contextlib.closing(batches):
        state = train_step.create_train_state(config, mesh, jax.random.key(0))
        update = devices.compiled(step, donate_argnames="state")
        for batch in itertools.islice(batches, steps):
            state, values = update(state, batch, jax.random.key(1), images)
            found.append(float(values["loss"]))
    return found


def initial(config):
    """The initial parameters. Not compiled as a whole: then JAX compiles the random
    numbers once for all variants."""
    size = config.augment.crop_size
    image = np.zeros((1, size, size, 3), np.float32)
    net = model.AlexNet(config.model)
    return net.init(jax.random.key(0), image, train=False)["params"]


def first_views(config):
    """The first batch in training, and its labels."""
    source, images = opened(config.data)
    order = loader.batch_indices(0, 0, config.batch_size, source.num_examples)
    image = np.empty((len(order), *[source.image_size] * 2, 3), np.uint8)
    label = np.empty(len(order), np.int32)
    source.read(order, image, label)
    view = augment.training_views(
        jax.random.key(2), image, jnp.float32(0), images, config.augment
    )
    return view, label


@functools.cache
def first_loss(config):
    """In training, without an update."""
    loss = jax.jit(partial(train_step.loss_fn, config=config))
    return float(loss(initial(config), *first_views(config), jax.random.key(1))[0])


def with_baseline(run, base):
    """The configurations of a run and of the baseline of its question."""
    if run == "base":
        return base, base
    question, variant = run.split("/")
    experiment = plan.open_experiment(question, base)
    return experiment.variants[variant], experiment.variants[experiment.baseline]


@pytest.mark.slow
@pytest.mark.parametrize("preset", SMALL_IMAGES)
@pytest.mark.parametrize("run", RUNS)
def test_starts_near_the_baseline(run, preset, test_data):
    config, baseline = with_baseline(run, base_on(preset, test_data))
    first, of_baseline = first_loss(config), first_loss(baseline)
    print(f"{preset} {run}: {first:.2f} at the start, baseline {of_baseline:.2f}")
    assert first <= of_baseline + LARGEST_RISE


@pytest.mark.slow
@pytest.mark.parametrize("preset", SMALL_IMAGES)
@pytest.mark.parametrize("run", RUNS)
def test_200_steps_without_divergence(run, preset, test_data):
    """Finite, and in the end hardly above the loss of equal probabilities, where some
    variants stay for more than 200 steps."""
    config, _ = with_baseline(run, base_on(preset, test_data))
    found = losses(config, STEPS)
    end = np.mean(found[-20:])
    print(
        f"{preset} {run}: {found[0]:.2f} at the start, at most {max(found):.2f}, "
        f"{end:.2f} at the end (mean of 20)"
    )
    assert np.isfinite(found).all()
    assert end < math.log(config.model.num_classes) + 0.2


def dropout_variants(base):
    """The variants of the question of dropout, with their initial parameters."""
    variants = plan.open_experiment("dropout", base).variants
    return {name: (config, initial(config)) for name, config in variants.items()}


@pytest.fixture(params=["digits", "cifar10"])
def base(request):
    """A preset on a few real images."""
    if request.param == "digits":
        folder = request.getfixturevalue("digits_dir")
        base = plan.base_config("digits", data_dir=folder)
    else:
        base = base_on("cifar10", request.getfixturevalue("test_data"))
    return changed(base, {"data.train_split": "train[:512]"})


def test_dropout_starts_from_one_function(base):
    """In testing, to the bit: the factors are powers of two. In training the inverted
    form, with the same masks, has the baseline's function, and the net without dropout
    that of testing."""
    view, label = first_views(base)
    tested, trained, loss = {}, {}, {}
    for name, (config, params) in dropout_variants(base).items():
        tested[name] = jax.jit(partial(model.logits, config.model))(params, view)
        loss_fn = jax.jit(partial(train_step.loss_fn, config=config))
        loss[name], trained[name] = loss_fn(params, view, label, jax.random.key(1))
    np.testing.assert_array_equal(tested["inverted"], tested["2012"])
    np.testing.assert_array_equal(tested["none"], tested["2012"])
    np.testing.assert_array_equal(trained["inverted"], trained["2012"])
    np.testing.assert_array_equal(trained["none"], tested["2012"])
    assert not np.array_equal(trained["2012"], tested["2012"])
    assert max(loss.values()) <= loss["2012"] + LARGEST_RISE


def test_steps_of_the_inverted_form(digits_dir):
    """Twice the gradient on half the kernel, in fc7 and fc8: four times the relative
    change. The gradients of all other layers are those of 2012."""
    base = plan.base_config("digits", data_dir=digits_dir)
    view, label = first_views(base)
    variants = dropout_variants(base)

    def gradients(name):
        config, params = variants[name]
        loss = partial(train_step.loss_fn, config=config)
        gradient = jax.jit(jax.grad(loss, has_aux=True))
        return gradient(params, view, label, jax.random.key(1))[0]

    inverted = gradients("inverted")
    for layer, of_2012 in gradients("2012").items():
        kernel = of_2012["kernel"] * (2 if layer in ("fc7", "fc8") else 1)
        np.testing.assert_array_equal(inverted[layer]["kernel"], kernel)


def test_a_base_with_inverted_dropout_keeps_its_function():
    """Caffe's preset has the inverted form: there the others get larger kernels."""
    base = plan.base_config("caffe_alexnet")
    variants = plan.open_experiment("dropout", base).variants
    assert variants["inverted"] == base
    stds = {
        name: (config.model.fc7.kernel_std, config.model.fc8.kernel_std)
        for name, config in variants.items()
    }
    assert stds["2012"] == stds["none"] == (0.01, 0.02)
    assert dataclasses.replace(variants["2012"].model, dropout="mean") == (
        variants["none"].model
    )
