"""Activations by the names of layers, ours and those of torchvision and Caffe.

A stage is "layer.stage": `linear`, the output of the convolution or matrix product,
before the activation; `norm`, after response normalisation; `activation`, after ReLU
(or tanh); `pool`, after max-pooling. A layer alone means its activation, as in most
writing on AlexNet; "fc8" means the logits.
"""

from typing import Any

import jax
import jax.numpy as jnp

from alexnet_jax import augment, model
from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config
from alexnet_jax.errors import UserError

# The corresponding modules of torchvision, which has other widths and no normalisation.
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
# Caffe's names: "pool5", "norm1", "relu6".
CAFFE = {
    f"{short}{layer[-1]}": f"{layer}.{stage}"
    for layer in (*CONV_LAYERS, "fc6", "fc7")
    for short, stage in (("relu", "activation"), ("norm", "norm"), ("pool", "pool"))
}
ALIASES = TORCHVISION | CAFFE


def is_name(text: str) -> bool:
    """True if the text names a layer, even one that the network lacks."""
    return text in ALIASES or layer_of(text) in (*CONV_LAYERS, *DENSE_LAYERS)


def layer_of(stage: str) -> str:
    """The layer of a stage: "conv5" of "conv5.pool"."""
    return stage.split(".")[0]


def find(name: str, stages: dict[str, tuple[int, ...]]) -> str:
    """Resolves a name to a stage.

    Args:
        name: of a stage or a layer, ours or another library's.
        stages: those of the network, from `shapes`.

    Raises:
        UserError: the network has no such stage; lists those that it has.
    """
    stage = ALIASES.get(name, name)
    for candidate in (stage, f"{stage}.activation", f"{stage}.linear"):
        if candidate in stages:
            return candidate
    raise UserError(
        f"the network has no layer {name!r}: it has {', '.join(stages)}. conv5 alone "
        "means conv5.activation; torchvision's and Caffe's names (features.12, pool5) "
        "work too."
    )


def shapes(config: Config, last: str = "fc8") -> dict[str, tuple[int, ...]]:
    """The shape of each stage for one image, in the order of computation, up to the
    layer `last`; traces the network without computing it."""
    size = config.augment.crop_size
    view = jnp.zeros((1, size, size, 3))
    names: list[str] = []

    def values(view: jax.Array) -> list[jax.Array]:
        net = model.AlexNet(config.model, last)
        params = net.init(jax.random.key(0), view, train=False)["params"]
        stages = model.stages(config.model, params, view, last=last)
        names.extend(stages)  # JAX would return a dictionary sorted by key
        return list(stages.values())

    arrays = jax.eval_shape(values, view)
    return {name: array.shape[1:] for name, array in zip(names, arrays, strict=True)}


def activations(
    params: Any,
    image: jax.Array,
    mean_image: jax.Array,
    *,
    config: Config,
    stages: tuple[str, ...],
) -> dict[str, jax.Array]:
    """The named stages of the centre view; the rest is not computed or kept.

    Args:
        image: uint8 `[batch, size, size, 3]`, RGB 0-255. An image of the size of the
            crop is its own centre view.
        stages: from `find`.

    Returns:
        float32 `[batch, height, width, maps]` or `[batch, units]` by stage.
    """
    view = augment.center_view(image, mean_image, config.augment)
    last = max(layer_of(stage) for stage in stages)
    computed = model.stages(config.model, params, view, last=last)
    return {name: computed[name].astype(jnp.float32) for name in stages}
