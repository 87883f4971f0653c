"""A trained network in one file: parameters, what they want of an image, their origin.

The file is in the safetensors format. Its arrays are "conv1.kernel" `[height, width,
inputs, outputs]`, "conv1.bias" and so on, and "mean_image" `[size, size, 3]`, RGB on
0-255, all float32. Its one text, "alexnet_jax", is JSON: `config` (`config.Config`),
`class_names`, `step`, `input` (what is done to an image, for people) and `origin`.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax import config_json
from alexnet_jax.config import Config
from alexnet_jax.errors import UserError
from alexnet_jax.weights import parameter_shapes, safetensors_file
from alexnet_jax.weights.parameter_shapes import Params

SUFFIX = ".safetensors"
TEXT = "alexnet_jax"
_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A trained network on the host."""

    config: Config
    params: Params
    """`{layer: {"kernel", "bias"}}`, float32."""
    mean_image: np.ndarray
    """float32 `[size, size, 3]`, RGB on 0-255."""
    class_names: list[str] | None = None
    """Of the outputs, in their order."""
    step: int | None = None
    """Updates that it has seen; none: not known."""
    origin: dict[str, str] = dataclasses.field(default_factory=dict)
    """Where it came from: format, file, sha256, what the original had otherwise."""


def read(path: Path) -> Weights:
    """The network of a weights file.

    Raises:
        UserError: the file is damaged or none of ours, or its arrays don't fit its
            configuration.
    """
    arrays, texts = safetensors_file.read(path)
    if TEXT not in texts:
        raise UserError(_foreign(path))
    return from_arrays(path, arrays, texts[TEXT])


def read_config(path: Path) -> Config:
    """The configuration alone, without reading the parameters."""
    texts = safetensors_file.read_texts(path)
    if TEXT not in texts:
        raise UserError(_foreign(path))
    return _config(path, _parsed(path, texts[TEXT]))


def write(path: Path, weights: Weights) -> None:
    """Writes the whole file or nothing."""
    arrays, text = to_arrays(weights)
    safetensors_file.write(path, arrays, {TEXT: text})


def _foreign(path: Path) -> str:
    return (
        f"{path} is no weights file of alexnet_jax (it has no text {TEXT!r}): make one "
        f"of it by python -m alexnet_jax.convert {path} ours{SUFFIX}"
    )


def to_arrays(weights: Weights) -> tuple[dict[str, np.ndarray], str]:
    """The arrays by their names in a file, and the text."""
    arrays = {
        f"{layer}.{kind}": array
        for layer, kinds in weights.params.items()
        for kind, array in kinds.items()
    }
    text = {
        "version": _VERSION,
        "config": dataclasses.asdict(weights.config),
        "class_names": weights.class_names,
        "step": weights.step,
        "input": describe_input(weights),
        "origin": weights.origin,
    }
    return arrays | {"mean_image": weights.mean_image}, json.dumps(text)


def from_arrays(path: Path, arrays: Mapping[str, np.ndarray], text: str) -> Weights:
    """The inverse of `to_arrays`; raises UserError if they don't fit the text."""
    content = _parsed(path, text)
    config = _config(path, content)
    shapes = parameter_shapes.shapes(config)
    wanted = {
        f"{layer}.{kind}": shape
        for layer, kinds in shapes.items()
        for kind, shape in kinds.items()
    } | {"mean_image": (config.data.image_size,) * 2 + (3,)}
    parameter_shapes.check(
        path, {name: array.shape for name, array in arrays.items()}, wanted
    )
    loose = {
        name: parameter_shapes.as_float32(path, name, array)
        for name, array in arrays.items()
    }
    return Weights(
        config=config,
        params={
            layer: {kind: loose[f"{layer}.{kind}"] for kind in kinds}
            for layer, kinds in shapes.items()
        },
        mean_image=loose["mean_image"],
        class_names=_class_names(path, content, config),
        step=content["step"] if isinstance(content.get("step"), int) else None,
        origin=_origin(content),
    )


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
        known = content["version"] == _VERSION
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise UserError(f"{path}: its text {TEXT!r} is damaged ({error}).") from error
    if not known:
        raise UserError(
            f"{path} is of version {str(content['version'])[:20]}, and this package "
            f"reads version {_VERSION}."
        )
    return content


def _config(path: Path, content: dict[str, Any]) -> Config:
    return config_json.build_config(content.get("config"), path)


def _class_names(
    path: Path, content: dict[str, Any], config: Config
) -> list[str] | None:
    names = content.get("class_names")
    if names is None:
        return None
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or len(names) > config.model.num_classes
    ):
        raise UserError(
            f"{path}: its class names are no list of at most "
            f"{config.model.num_classes} names."
        )
    return names


def _origin(content: dict[str, Any]) -> dict[str, str]:
    origin = content.get("origin")
    if not isinstance(origin, dict):
        return {}
    return {str(name): str(value) for name, value in origin.items()}


def describe_input(weights: Weights) -> str:
    """What is done to an image before the network sees it, in words."""
    data, augment = weights.config.data, weights.config.augment
    side = f"{data.image_size}x{data.image_size}"
    scaled = "all of it" if data.squash else "shorter side, then the centre"
    pixels = weights.mean_image.reshape(-1, 3)
    mean = "the centre of mean_image"
    if (pixels == pixels[:1]).all():
        mean = "({:g}, {:g}, {:g})".format(*pixels[0])
    scale = augment.pixel_scale
    if isinstance(scale, tuple):
        scale = "({:g}, {:g}, {:g})".format(*scale)
    crop = augment.crop_size
    return (
        f"RGB on 0-255, scaled to {side} ({scaled}); the centre {crop}x{crop}; "
        f"minus {mean}; times {scale}; [batch, height, width, 3]"
    )
