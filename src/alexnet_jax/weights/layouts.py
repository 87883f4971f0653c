"""Parameters in the layouts of others, and in ours.

"channels_first" is that of Caffe and PyTorch: kernels `[outputs, inputs, height,
width]`, matrices `[outputs, inputs]`, where fc6 counts its inputs map by map.
"channels_last" is that of TensorFlow: `[height, width, inputs, outputs]`, `[inputs,
outputs]`, where fc6 counts its inputs place by place. Ours is the latter, but fc6 keeps
its rows and columns apart: `[height, width, maps, outputs]`. The halves of the outputs
of a grouped convolution are its groups everywhere, and so our columns.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from alexnet_jax import config_checks
from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config
from alexnet_jax.weights import parameter_shapes
from alexnet_jax.weights.parameter_shapes import Params

Layout = Literal["channels_first", "channels_last"]
LAYERS = CONV_LAYERS + DENSE_LAYERS


def with_classes(config: Config, classes: int) -> Config:
    """The configuration with so many outputs, checked."""
    fc8 = dataclasses.replace(config.model.fc8, features=classes)
    model = dataclasses.replace(config.model, fc8=fc8)
    found = dataclasses.replace(config, model=model)
    config_checks.check_config(found)
    return found


def shapes(
    config: Config, layout: Layout, names: Mapping[str, str]
) -> dict[str, tuple[int, ...]]:
    """The shapes that a file should have, by "name.weight" and "name.bias".

    Args:
        names: of the layers in the file.
    """
    found = {}
    for layer, kinds in parameter_shapes.shapes(config).items():
        kernel = kinds["kernel"]
        found[f"{names[layer]}.weight"] = _outside(kernel, layer, layout)
        found[f"{names[layer]}.bias"] = kinds["bias"]
    return found


def _outside(kernel: tuple[int, ...], layer: str, layout: Layout) -> tuple[int, ...]:
    *space, inputs, outputs = kernel
    if layer in DENSE_LAYERS:
        inputs, space = math.prod(kernel[:-1]), []
    if layout == "channels_first":
        return (outputs, inputs, *space)
    return (*space, inputs, outputs)


def to_params(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    config: Config,
    layout: Layout,
    names: Mapping[str, str],
    *,
    bgr: bool,
) -> Params:
    """Our parameters of those in a file.

    Args:
        arrays: "name.weight" and "name.bias" of each layer, in the layout.
        names: of the layers in the file.
        bgr: whether the network wants blue, green, red, as Caffe's do.

    Raises:
        UserError: names all arrays that don't fit, with both shapes.
    """
    found = {name: array.shape for name, array in arrays.items()}
    parameter_shapes.check(path, found, shapes(config, layout, names))
    params = {}
    for layer, kinds in parameter_shapes.shapes(config).items():
        weight, bias = (
            parameter_shapes.as_float32(path, name, arrays[name])
            for name in (f"{names[layer]}.weight", f"{names[layer]}.bias")
        )
        kernel = _to_kernel(weight, kinds["kernel"], layout)
        if bgr and layer == "conv1":
            kernel = kernel[:, :, ::-1]
        params[layer] = {"kernel": np.ascontiguousarray(kernel), "bias": bias}
    return params


def _to_kernel(
    weight: np.ndarray, shape: tuple[int, ...], layout: Layout
) -> np.ndarray:
    if layout == "channels_last":
        return weight.reshape(shape)
    *space, inputs, outputs = shape
    return np.moveaxis(weight.reshape(outputs, inputs, *space), (0, 1), (-1, -2))


def from_params(params: Params, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The inverse of `to_params` for channels first, RGB."""
    arrays = {}
    for layer, kinds in params.items():
        kernel = kinds["kernel"]
        weight = np.moveaxis(kernel, (-1, -2), (0, 1))
        shape = _outside(kernel.shape, layer, "channels_first")
        arrays[f"{names[layer]}.weight"] = np.ascontiguousarray(weight).reshape(shape)
        arrays[f"{names[layer]}.bias"] = kinds["bias"]
    return arrays
