"""LPIPS, the perceptual distance of images (Zhang et al., CVPR 2018), version 0.1.

The features of torchvision's AlexNet after each of its five ReLUs, scaled to unit
length at each pixel, are compared channel by channel. The weights of the channels,
which Zhang et al. fitted to the judgement of people, come with their program:
`weights/v0.1/alex.pth` in its package `lpips`.

params = alexnet_jax.load("torchvision.safetensors").network.params
heads = alexnet_jax.lpips_heads("alex.pth")
distance = jax.jit(alexnet_jax.lpips)(params, heads, a, b)
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alexnet_jax import config_checks, model
from alexnet_jax.config import CONV_LAYERS
from alexnet_jax.errors import UserError
from alexnet_jax.presets import TORCHVISION_ALEXNET
from alexnet_jax.weights import parameter_shapes, safetensors_file, torch_file

Heads = tuple[Any, ...]
"""A weight per channel of each convolution: five arrays, float32 `[maps]`."""

# Of the program of Zhang et al.: ImageNet's mean and standard deviation per colour, of
# pixels on -1 to 1.
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10  # added to the length of a feature, as there

_MODEL = TORCHVISION_ALEXNET.model


def lpips_heads(path: str | Path) -> Heads:
    """Reads the weights of the channels.

    Args:
        path: `alex.pth` of the package `lpips` (needs torch), or the same arrays in a
            .safetensors file: `lin0.model.1.weight` `[1, maps, 1, 1]` to `lin4...`.

    Raises:
        UserError: the file is missing or damaged, or its arrays are others.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist: name alex.pth of the package lpips.")
    is_own = path.suffix == ".safetensors"
    arrays, _ = safetensors_file.read(path) if is_own else torch_file.read(path)
    maps = [getattr(_MODEL, name).features for name in CONV_LAYERS]
    names = [f"lin{number}.model.1.weight" for number in range(len(maps))]
    expected = {name: (1, count, 1, 1) for name, count in zip(names, maps, strict=True)}
    stored = {name: array.shape for name, array in arrays.items()}
    parameter_shapes.check(path, stored, expected)
    return tuple(
        parameter_shapes.as_float32(path, name, arrays[name]).ravel() for name in names
    )


def lpips(params: Any, heads: Heads, a: jax.Array, b: jax.Array) -> jax.Array:
    """The distance of two batches of images: 0 if they are equal.

    d(a, b) = sum over the layers of the mean over the pixels of
    sum over c of w_c (f_c(a) - f_c(b))^2, with f of length 1 at each pixel.

    May be compiled and differentiated; where all features of a pixel are 0, which has
    no direction, the gradient is 0.

    Args:
        params: of torchvision's AlexNet, conv1 to conv5 at least; see `Network.params`.
        heads: from `lpips_heads`.
        a, b: float `[batch, height, width, 3]`, RGB on -1 to 1, at least 31 pixels per
            side.

    Returns:
        float32 `[batch]`.

    Raises:
        UserError: images of another shape or type, or too small, or parameters of
            another network.
    """
    _check_images(a, b)
    _check_params(params)
    batch = jnp.concatenate([a, b]).astype(jnp.float32)
    shift, scale = (jnp.array(values).reshape(1, 1, 1, 3) for values in (SHIFT, SCALE))
    stages = model.stages(_MODEL, params, (batch - shift) / scale, last="conv5")
    distance = jnp.zeros(len(a))
    for name, weight in zip(CONV_LAYERS, heads, strict=True):
        feature = _unit_length(stages[f"{name}.activation"])
        difference = jnp.square(feature[: len(a)] - feature[len(a) :])
        # mean over the pixels first, which gives the same sum
        by_map = jnp.mean(difference, axis=(1, 2))
        distance += by_map @ jnp.asarray(weight)
    return distance


def _unit_length(feature: jax.Array) -> jax.Array:
    square = jnp.sum(jnp.square(feature), axis=-1, keepdims=True)
    is_zero = square == 0  # where the derivative of the root is infinite
    length = jnp.where(is_zero, 0, jnp.sqrt(jnp.where(is_zero, 1, square)))
    return feature / (length + _EPSILON)


def _check_images(a: Any, b: Any) -> None:
    for images in (a, b):
        shape = tuple(np.shape(images))
        if (
            len(shape) != 4
            or shape[3] != 3
            or shape != tuple(np.shape(b))
            or not jnp.issubdtype(images.dtype, jnp.floating)
        ):
            raise UserError(
                f"images of {images.dtype} {list(shape)}: expected two equal shapes "
                "[batch, height, width, 3] of floating-point pixels, RGB on -1 to 1."
            )
    sizes = config_checks.map_sizes(_MODEL, min(np.shape(a)[1:3]))
    if min(size for size, _ in sizes.values()) < 1:
        raise UserError(
            f"images of {np.shape(a)[1]} x {np.shape(a)[2]} pixels are too small: "
            "conv5 has no maps. Scale them up, to 64 x 64 for example."
        )


def _check_params(params: Any) -> None:
    expected = parameter_shapes.shapes(TORCHVISION_ALEXNET)
    for name in CONV_LAYERS:
        shape = tuple(params[name]["kernel"].shape) if name in params else "missing"
        if shape != expected[name]["kernel"]:
            raise UserError(
                f"the kernel of {name} is {shape}, and torchvision's AlexNet has "
                f"{expected[name]['kernel']}: LPIPS is of that network "
                "(preset torchvision_alexnet)."
            )
