"""model.py: exact counts and map sizes, every toggle, 2012's init on real images."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from alexnet_jax import config_checks, presets
from alexnet_jax.config import Norm, Pool
from alexnet_jax.model import AlexNet
from experiments import known_answers

MODEL_2012 = presets.ALEXNET2012.model


def replace(model, **layers):
    """The model with fields of some layers replaced: conv2={"features": 8}."""
    return dataclasses.replace(
        model,
        **{
            name: dataclasses.replace(getattr(model, name), **fields)
            for name, fields in layers.items()
        },
    )


def abstract(model, crop_size):
    """Shapes of the parameters and of every stage; nothing is computed."""
    image = jax.ShapeDtypeStruct((1, crop_size, crop_size, 3), jnp.float32)
    shapes = jax.eval_shape(
        lambda image: AlexNet(model).init_with_output(
            jax.random.key(0), image, train=False, mutable=True
        ),
        image,
    )[1]
    stages = {name: found[0].shape for name, found in shapes["intermediates"].items()}
    return shapes["params"], stages


def count(model, crop_size=224):
    return sum(leaf.size for leaf in jax.tree.leaves(abstract(model, crop_size)[0]))


# alexnet-2012: weights of each layer, biases apart.
WEIGHTS_2012 = {
    "conv1": 34_848,
    "conv2": 307_200,
    "conv3": 884_736,
    "conv4": 663_552,
    "conv5": 442_368,
    "fc6": 37_748_736,
    "fc7": 16_777_216,
    "fc8": 4_096_000,
}
MACS_2012 = 724_406_816


@pytest.mark.parametrize(
    "preset, parameters",
    [
        ("alexnet2012", 60_965_224),
        ("alexnet_paper", 60_965_224),
        ("caffe_alexnet", 60_965_224),
        ("caffenet", 60_965_224),
        ("torchvision_alexnet", 61_100_840),
        ("tiny_imagenet", 8_256_904),
        ("cifar10", 368_842),
        ("digits", 93_674),
    ],
)
def test_parameter_counts(preset, parameters):
    config = presets.PRESETS[preset]
    assert count(config.model, config.augment.crop_size) == parameters


def test_every_preset_has_its_count_tested():
    mark = test_parameter_counts.pytestmark[0]
    assert {row[0] for row in mark.args[1]} == set(presets.PRESETS)


def test_weights_of_each_layer():
    params, _ = abstract(MODEL_2012, 224)
    assert {name: p["kernel"].size for name, p in params.items()} == WEIGHTS_2012


def test_multiply_adds():
    """Each weight of a convolution is used at each position of the map."""
    sizes = config_checks.map_sizes(MODEL_2012, 224)
    macs = sum(
        weights * (sizes[name][0] ** 2 if name in sizes else 1)
        for name, weights in WEIGHTS_2012.items()
    )
    assert macs == MACS_2012


def test_ungrouped_count():
    assert count(dataclasses.replace(MODEL_2012, num_columns=1)) == 62_378_344


def test_145_half_count():
    """One column of 145, but conv5 and the fully connected layers at full width."""
    half = dataclasses.replace(
        replace(
            MODEL_2012,
            conv1={"features": 48},
            conv2={"features": 128},
            conv3={"features": 192},
            conv4={"features": 192},
        ),
        num_columns=1,
    )
    assert count(half) == 59_798_312


def test_map_sizes_of_2012():
    _, stages = abstract(MODEL_2012, 224)
    found = {
        name: shape[1:]
        for name, shape in stages.items()
        if name.endswith(("linear", "pool"))
    }
    assert found == {
        "conv1_linear": (55, 55, 96),
        "conv1_pool": (27, 27, 96),
        "conv2_linear": (27, 27, 256),
        "conv2_pool": (13, 13, 256),
        "conv3_linear": (13, 13, 384),
        "conv4_linear": (13, 13, 384),
        "conv5_linear": (13, 13, 256),
        "conv5_pool": (6, 6, 256),
        "fc6_linear": (4096,),
        "fc7_linear": (4096,),
        "fc8_linear": (1000,),
    }


POOL_2_2 = Pool(window=2, stride=2)
MAP_SIZES = {
    # Configuration 147: pools of 2/2 round up, conv2 has padding 1 and conv5 none.
    "147": (
        replace(
            MODEL_2012,
            conv1={"pool": POOL_2_2},
            conv2={"pool": POOL_2_2, "padding": (1, 1)},
            conv5={"pool": POOL_2_2, "padding": (0, 0)},
        ),
        224,
        [(55, 28), (26, 13), (13, 13), (13, 13), (11, 6)],
    ),
    # Caffe: a crop of 227 and no padding.
    "227": (
        replace(MODEL_2012, conv1={"padding": (0, 0)}),
        227,
        [(55, 27), (27, 13), (13, 13), (13, 13), (13, 6)],
    ),
    # torchvision: padding of 2 on all sides.
    "torchvision": (
        replace(MODEL_2012, conv1={"padding": (2, 2)}),
        224,
        [(55, 27), (27, 13), (13, 13), (13, 13), (13, 6)],
    ),
    # cuda-convnet on CIFAR-10: 32, 16, 8, 4 with 3/2 pools rounded up, 15, 7, 3 down.
    "ceil": (presets.CIFAR10.model, 32, [(32, 16), (16, 8), (8, 8), (8, 8), (8, 4)]),
    "floor": (
        replace(
            presets.CIFAR10.model,
            conv1={"pool": Pool(window=3, stride=2, ceil=False)},
            conv2={"pool": Pool(window=3, stride=2, ceil=False)},
            conv5={"pool": Pool(window=3, stride=2, ceil=False)},
        ),
        32,
        [(32, 15), (15, 7), (7, 7), (7, 7), (7, 3)],
    ),
}


@pytest.mark.parametrize("name", MAP_SIZES)
def test_map_sizes(name):
    """The arithmetic of `map_sizes` and the network agree on each variant."""
    model, crop_size, expected = MAP_SIZES[name]
    assert list(config_checks.map_sizes(model, crop_size).values()) == expected
    _, stages = abstract(model, crop_size)
    for layer, (size, pooled) in config_checks.map_sizes(model, crop_size).items():
        linear = stages[f"{layer}_linear"]
        assert linear[1] == size
        assert stages.get(f"{layer}_pool", linear)[1] == pooled


def test_configurations_of_communication():
    """127 (no exchange at conv3, which is wider), 132 (at conv4 instead), 150 (none
    before fc8): the kernels have the inputs of one column or of both."""
    own, both = {"sees": "own"}, {"sees": "both"}

    def inputs(model):
        params, _ = abstract(model, 224)
        return {name: p["kernel"].shape[-2] for name, p in params.items()}

    wide = {"sees": "own", "features": 512}
    found = inputs(replace(MODEL_2012, conv3=wide, conv4={"features": 512}))
    assert (found["conv3"], found["conv4"], found["conv5"]) == (128, 256, 256)
    found = inputs(replace(MODEL_2012, conv3=own, conv4=both))
    assert (found["conv3"], found["conv4"]) == (128, 384)
    found = inputs(
        replace(
            MODEL_2012,
            conv2={"features": 320},
            conv3=own,
            fc6={"sees": "own", "features": 8192},
            fc7={"sees": "own", "features": 8192},
        )
    )
    assert found == {
        "conv1": 3,
        "conv2": 48,
        "conv3": 160,
        "conv4": 192,
        "conv5": 192,
        "fc6": 128,
        "fc7": 4096,
        "fc8": 8192,
    }


TINY = presets.DIGITS.model
BOTH_NORMS_OFF = {"local_norm": Norm(), "spatial_norm": Norm()}
CAFFENET_NORM = Norm(position="after_pool", k=1.0, across_columns=True)
VARIANTS = {
    "plain": TINY,
    "tanh": dataclasses.replace(TINY, activation="tanh"),
    "no norm (148)": replace(TINY, conv1=BOTH_NORMS_OFF, conv2=BOTH_NORMS_OFF),
    "no norm in conv2 (167)": replace(TINY, conv2=BOTH_NORMS_OFF),
    "norm before ReLU in conv2 (166)": replace(
        TINY, conv2={"local_norm": Norm(position="before_activation")}
    ),
    "norm of the text": presets.ALEXNET_PAPER.model,
    "norm after pool": replace(TINY, conv1={"local_norm": CAFFENET_NORM}),
    "pool 2/2 (147)": replace(TINY, conv1={"pool": POOL_2_2}),
    "inverted dropout": dataclasses.replace(TINY, dropout="inverted"),
    "no dropout": dataclasses.replace(TINY, dropout_rate=0.0),
    "one column": dataclasses.replace(TINY, num_columns=1),
    "no exchange at conv3 (127)": replace(TINY, conv3={"sees": "own"}),
    "no exchange before fc8 (150)": replace(
        TINY, conv3={"sees": "own"}, fc6={"sees": "own"}, fc7={"sees": "own"}
    ),
    **{
        f"without {layer}": dataclasses.replace(TINY, without=(layer,))
        for layer in ("conv3", "conv4", "conv5", "fc7")
    },
    "init of the text": replace(TINY, conv3={"kernel_std": 0.01}),
    "bias of Caffe": replace(TINY, conv2={"bias": 0.1}),
}


def logits(model, *, train):
    """Logits of a small batch; the narrow network under 24x24 crops."""
    if model is presets.ALEXNET_PAPER.model:
        narrow = {"features": 16, "kernel_size": 5, "stride": 1}
        model = replace(TINY, conv1={"local_norm": model.conv1.local_norm} | narrow)
    image = jax.random.normal(jax.random.key(1), (4, 24, 24, 3)) * 60
    net = AlexNet(model)
    params = net.init(jax.random.key(0), image, train=False)
    return net.apply(params, image, train=train, rngs={"dropout": jax.random.key(2)})


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "plain"])
def test_every_toggle_changes_the_output(name):
    changed = logits(VARIANTS[name], train=True)
    assert changed.shape == (4, 10)
    assert np.isfinite(changed).all()
    assert not np.allclose(changed, logits(TINY, train=True), atol=1e-4)


def test_network_equals_the_oracle():
    """Grouped convolutions over both columns, written independently of the package."""
    model = dataclasses.replace(TINY, dropout_rate=0.0)
    image = jax.random.normal(jax.random.key(1), (4, 24, 24, 3)) * 60
    params = AlexNet(model).init(jax.random.key(0), image, train=False)
    found = AlexNet(model).apply(params, image, train=False)
    expected = oracle.logits(params["params"], image, model)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_gradient_is_zero_outside_a_column():
    """Column 0 of conv5 depends only on column 0 of conv4."""
    image = jax.random.normal(jax.random.key(1), (1, 24, 24, 3)) * 60
    params = AlexNet(TINY).init(jax.random.key(0), image, train=False)["params"]

    def column_0(params):
        _, found = AlexNet(TINY).apply(
            {"params": params}, image, train=False, mutable=["intermediates"]
        )
        return found["intermediates"]["conv5_linear"][0][..., :16].sum()

    gradients = jax.grad(column_0)(params)
    for layer in ("conv4", "conv5"):
        half = TINY.conv4.features // 2 if layer == "conv4" else 16
        assert np.any(gradients[layer]["kernel"][..., :half])
        np.testing.assert_array_equal(gradients[layer]["kernel"][..., half:], 0)
    # conv3 sees both columns, so conv2's second column matters.
    assert np.any(gradients["conv2"]["kernel"][..., TINY.conv2.features // 2 :])


def test_2012_starts_as_logged(test_data, capsys):
    """First loss about 7.17 with dropout, logits' spread between images about 0.052:
    the authors' init with pixels on 0-255. cuda-convnet2's log starts at 7.156."""
    loss, spread = known_answers.start(test_data / "ilsvrc2012_sample")
    with capsys.disabled():
        print(f"\nfirst loss {loss:.3f}, spread of the logits {spread:.4f}")
    assert abs(loss - 7.17) < 0.1
    assert abs(spread - 0.052) < 0.01
