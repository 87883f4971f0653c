"""Networks of all presets and of every option that changes the computation, with random
weights, and their stages as alexnet_jax computes them."""

import dataclasses

import numpy as np

from alexnet_jax import model, presets
from alexnet_jax.config import Norm, Pool
from alexnet_jax.weights import parameter_shapes
from alexnet_jax.weights.network import Network

replace = dataclasses.replace


def with_model(config, **fields):
    return replace(config, model=replace(config.model, **fields))


def with_layers(config, **layers):
    """Changes fields of layers: conv1={"features": 8}."""
    changed = {
        name: replace(getattr(config.model, name), **fields)
        for name, fields in layers.items()
    }
    return with_model(config, **changed)


def narrow(config):
    """With few units, so that tests are fast."""
    return with_layers(config, fc6={"features": 64}, fc7={"features": 32})


DIGITS = presets.DIGITS
_EVEN = Norm(position="after_activation", size=4, alpha=0.01, beta=0.6)
_LATE = Norm(position="after_pool", size=3, k=1.5, alpha=0.01, alpha_divided_by_n=False)

CONFIGS = {name: narrow(config) for name, config in presets.PRESETS.items()} | {
    # With pixels on 0-255 tanh would be of differences beyond float32.
    "tanh": replace(
        with_model(DIGITS, activation="tanh"),
        augment=replace(DIGITS.augment, pixel_scale=0.02),
    ),
    "inverted dropout": with_model(DIGITS, dropout="inverted"),
    "other dropout rate": with_model(DIGITS, dropout="mean", dropout_rate=0.3),
    "without layers": with_model(DIGITS, without=("conv3", "conv5", "fc7")),
    "four columns": with_model(DIGITS, num_columns=4),
    "one column": with_model(DIGITS, num_columns=1),
    "even windows": with_layers(
        DIGITS, conv1={"local_norm": _EVEN}, conv2={"spatial_norm": _EVEN}
    ),
    "even windows across columns": with_layers(
        DIGITS, conv2={"local_norm": replace(_EVEN, across_columns=True)}
    ),
    "two positions": with_layers(DIGITS, conv2={"local_norm": _LATE}),
    "late norm": with_layers(
        DIGITS, conv2={"spatial_norm": _LATE}, conv5={"local_norm": _LATE}
    ),
    "units by column": with_layers(
        DIGITS, fc6={"sees": "own"}, fc7={"sees": "own"}, fc8={"sees": "own"}
    ),
    "sizes round down": with_layers(
        DIGITS,
        conv1={"pool": Pool(window=3, stride=2, ceil=False)},
        conv2={"pool": Pool(window=2, stride=3, ceil=False)},
    ),
    # 24 pixels: the last window begins at 21 and has 3; then 12: one begins at 12.
    "windows at the edge": with_layers(
        DIGITS,
        conv1={"pool": Pool(window=4, stride=3)},
        conv2={"pool": Pool(window=1, stride=3)},
    ),
    "a window beyond the edge": with_layers(
        DIGITS, conv1={"pool": Pool(window=2, stride=7)}, conv2={"pool": Pool()}
    ),
    "a scale of pixels": replace(
        DIGITS, augment=replace(DIGITS.augment, pixel_scale=0.25)
    ),
}


def random_network(config, *, last="fc8", seed=0):
    """Kernels of the deviation that keeps activations at their scale."""
    generator = np.random.default_rng(seed)

    def array(kind, shape):
        deviation = np.sqrt(2 / np.prod(shape[:-1])) if kind == "kernel" else 1.0
        return generator.normal(0, deviation, shape).astype("f4")

    size = config.data.image_size
    return Network(
        name="random",
        config=config,
        params={
            layer: {kind: array(kind, shape) for kind, shape in kinds.items()}
            for layer, kinds in parameter_shapes.shapes(config).items()
            if layer <= last
        },
        mean_image=generator.uniform(90, 150, (size, size, 3)).astype("f4"),
        origin={"format": "random"},
    )


def random_views(config, batch):
    """Float32 `[batch, crop, crop, 3]`, of the scale of real ones."""
    size, scale = config.augment.crop_size, config.augment.pixel_scale
    views = np.random.default_rng(1).normal(0, 60, (batch, size, size, 3))
    return (views * np.array(scale)).astype("f4")


def random_images(config, batch):
    """Uint8 `[batch, size, size, 3]`."""
    size = config.data.image_size
    return np.random.default_rng(2).integers(0, 256, (batch, size, size, 3), np.uint8)


def stages(network, view):
    """Every stage by name, as alexnet_jax computes it."""
    found = model.stages(network.config.model, network.params, view, last=network.last)
    return {name: np.asarray(array) for name, array in found.items()}


def assert_same(found, expected, limit=1e-5):
    """Every stage within `limit` of its largest value."""
    assert set(expected) <= set(found)
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        difference = np.abs(found[name] - array).max()
        assert difference <= limit * np.abs(array).max(), name
