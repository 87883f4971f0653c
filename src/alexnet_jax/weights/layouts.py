"""Converts parameters between the layouts of other frameworks and ours.

"channels_first" is that of Caffe and PyTorch: kernels `[outputs, inputs, height,
width]`, matrices `[outputs, inputs]`, with fc6's inputs flattened map by map.
"channels_last" is that of TensorFlow: `[height, width, inputs, outputs]`, `[inputs,
outputs]`, with fc6's inputs flattened pixel by pixel. Ours is the latter, but fc6 is
not flattened: `[height, width, maps, outputs]`. Groups are contiguous output blocks in
every framework; here they are called columns.
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
    """The configuration with `classes` outputs, checked."""
    fc8 = dataclasses.replace(config.model.fc8, features=classes)
    model = dataclasses.replace(config.model, fc8=fc8)
    config = dataclasses.replace(config, model=model)
    config_checks.check_config(config)
    return config


def _expected(
    shapes: Mapping[str, dict[str, tuple[int, ...]]],
    layout: Layout,
    names: Mapping[str, str],
) -> dict[str, tuple[int, ...]]:
    """The shapes expected in a file, by "name.weight" and "name.bias"."""
    expected = {}
    for layer, kinds in shapes.items():
        kernel = kinds["kernel"]
        expected[f"{names[layer]}.weight"] = _outside(kernel, layer, layout)
        expected[f"{names[layer]}.bias"] = kinds["bias"]
    return expected


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
    """Converts the arrays of a file to our parameters.

    Args:
        arrays: "name.weight" and "name.bias" of each layer, in `layout`. The last
            layers may be missing; without fc6, fc7 and fc8 are left out.
        names: our layer -> the layer's name in the file.
        bgr: True if the network expects BGR images, as Caffe's do.

    Raises:
        UserError: names all arrays that do not fit, with both shapes.
    """
    layers = _stored_layers(arrays, names)
    useless = tuple(f"{names[layer]}." for layer in _after_fc6(layers))
    stored = {
        name: array.shape
        for name, array in arrays.items()
        if not name.startswith(useless)
    }
    layers = [layer for layer in layers if layer not in _after_fc6(layers)]
    shapes = parameter_shapes.of_stored(parameter_shapes.shapes(config), layers)
    parameter_shapes.check(path, stored, _expected(shapes, layout, names))
    params = {}
    for layer, kinds in shapes.items():
        weight, bias = (
            parameter_shapes.as_float32(path, name, arrays[name])
            for name in (f"{names[layer]}.weight", f"{names[layer]}.bias")
        )
        kernel = _to_kernel(weight, kinds["kernel"], layout)
        if bgr and layer == "conv1":
            kernel = kernel[:, :, ::-1]
        params[layer] = {"kernel": np.ascontiguousarray(kernel), "bias": bias}
    return params


def _stored_layers(
    arrays: Mapping[str, np.ndarray], names: Mapping[str, str]
) -> list[str]:
    """Our names of the layers of which a file has any array."""
    known = {name.rpartition(".")[0] for name in arrays}
    return [layer for layer in LAYERS if names[layer] in known]


def _after_fc6(layers: list[str]) -> list[str]:
    """fc7 and fc8, if the file has all convolutions but no fc6: their inputs are lost,
    while the convolutions still give features."""
    if "fc6" in layers or not set(CONV_LAYERS) <= set(layers):
        return []
    return [layer for layer in layers if layer > "fc6"]


def left_out(
    arrays: Mapping[str, np.ndarray], names: Mapping[str, str]
) -> dict[str, str]:
    """What `to_params` has left out, for `Network.origin`."""
    layers = _after_fc6(_stored_layers(arrays, names))
    return {"left_out": f"{', '.join(layers)}: there is no fc6"} if layers else {}


def _to_kernel(
    weight: np.ndarray, shape: tuple[int, ...], layout: Layout
) -> np.ndarray:
    if layout == "channels_last":
        return weight.reshape(shape)
    *space, inputs, outputs = shape
    return np.moveaxis(weight.reshape(outputs, inputs, *space), (0, 1), (-1, -2))


def from_params(params: Params, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The inverse of `to_params` for "channels_first" and RGB."""
    arrays = {}
    for layer, kinds in params.items():
        kernel = kinds["kernel"]
        weight = np.moveaxis(kernel, (-1, -2), (0, 1))
        shape = _outside(kernel.shape, layer, "channels_first")
        arrays[f"{names[layer]}.weight"] = np.ascontiguousarray(weight).reshape(shape)
        arrays[f"{names[layer]}.bias"] = kinds["bias"]
    return arrays
