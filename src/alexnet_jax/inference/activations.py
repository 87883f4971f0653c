"""Layers by name: where activations are taken from the network.

A stage is "layer.stage": `linear`, what the convolution or product gives, before the
activation; `norm`, after response normalisation; `activation`, after ReLU (or tanh);
`pool`, after max-pooling. A layer alone means its activation, as in most writing on
AlexNet; "fc8" means the logits.
"""

from typing import Any

import jax
import jax.numpy as jnp

from alexnet_jax import augment, model
from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config
from alexnet_jax.errors import UserError

# The same place in torchvision's network, which has other widths and no normalisation.
TORCHVISION = {
    "features.0": "conv1.linear",
    "features.1": "conv1.activation",
    "features.2": "conv1.pool",
    "features.3": "conv2.linear",
    "features.4": "conv2.activation",
    "features.5": "conv2.pool",
    "features.6": "conv3.linear",
    "features.7": "conv3.activation",
    "features.8": "conv4.linear",
    "features.9": "conv4.activation",
    "features.10": "conv5.linear",
    "features.11": "conv5.activation",
    "features.12": "conv5.pool",
    "classifier.1": "fc6.linear",
    "classifier.2": "fc6.activation",
    "classifier.4": "fc7.linear",
    "classifier.5": "fc7.activation",
    "classifier.6": "fc8.linear",
}
# Caffe's, "pool5", "norm1", "relu6".
CAFFE = {
    f"{short}{layer[-1]}": f"{layer}.{stage}"
    for layer in (*CONV_LAYERS, "fc6", "fc7")
    for short, stage in (("relu", "activation"), ("norm", "norm"), ("pool", "pool"))
}
ALIASES = TORCHVISION | CAFFE


def is_name(text: str) -> bool:
    """Whether it is the name of a layer, be it in the network or not."""
    return text in ALIASES or text.split(".")[0] in (*CONV_LAYERS, *DENSE_LAYERS)


def find(name: str, stages: dict[str, tuple[int, ...]]) -> str:
    """The stage that a name means: a stage, a layer, or a name of another library.

    Args:
        stages: what the network has, from `shapes`.

    Raises:
        UserError: there is none; names those that there are.
    """
    stage = ALIASES.get(name, name)
    for candidate in (stage, f"{stage}.activation", f"{stage}.linear"):
        if candidate in stages:
            return candidate
    raise UserError(
        f"the network has no layer {name!r}: it has {', '.join(stages)}. conv5 alone "
        "means conv5.activation; torchvision's and Caffe's names (features.12, pool5) "
        "mean the same place."
    )


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """The stages of a network in the order of the computation, and the shape of each
    for one image; nothing is computed."""
    size = config.augment.crop_size
    view = jnp.zeros((1, size, size, 3))
    names: list[str] = []

    def values(view: jax.Array) -> list[jax.Array]:
        params = model.AlexNet(config.model).init(jax.random.key(0), view, train=False)[
            "params"
        ]
        found = model.stages(config.model, params, view)
        names.extend(found)  # a dictionary would come out sorted
        return list(found.values())

    found = jax.eval_shape(values, view)
    return {name: one.shape[1:] for name, one in zip(names, found, strict=True)}


def activations(
    params: Any,
    image: jax.Array,
    mean_image: jax.Array,
    *,
    config: Config,
    chosen: tuple[str, ...],
) -> dict[str, jax.Array]:
    """The chosen stages of the centre view; the rest is not computed or kept.

    Args:
        image: uint8 `[batch, size, size, 3]`, RGB 0-255.

    Returns:
        float32 `[batch, height, width, maps]` or `[batch, units]` by stage.
    """
    view = augment.center_view(image, mean_image, config.augment)
    found = model.stages(config.model, params, view)
    return {name: found[name].astype(jnp.float32) for name in chosen}
