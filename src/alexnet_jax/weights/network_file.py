"""A trained network in one file: parameters, expected preprocessing and provenance.

The file is in the safetensors format. Its arrays are "conv1.kernel" `[height, width,
inputs, outputs]`, "conv1.bias" and so on, and "mean_image" `[size, size, 3]`, RGB on
0-255, all float32; the last layers may be missing. Its one metadata entry,
"alexnet_jax", is JSON: `config` (`config.Config`), `class_names`, `step`, `input` (the
preprocessing, for people) and `origin`.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax import config_json
from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config
from alexnet_jax.errors import UserError
from alexnet_jax.weights import parameter_shapes, safetensors_file
from alexnet_jax.weights.network import Network, describe_input

SUFFIX = ".safetensors"
TEXT = "alexnet_jax"
_VERSION = 1


def read(path: Path) -> Network:
    """Reads a weights file.

    Raises:
        UserError: the file is damaged or not one of ours, or its arrays do not fit its
            configuration.
    """
    arrays, texts = safetensors_file.read(path)
    return from_arrays(path, arrays, _own(path, texts))


def read_config(path: Path) -> Config:
    """Reads the configuration without the parameters."""
    text = _own(path, safetensors_file.read_texts(path))
    return config_json.build_config(_parsed(path, text).get("config"), path)


def last_layer(path: Path) -> str:
    """The last layer that a weights file has, without reading the parameters; fc8 for
    anything else, such as a run directory, which has all of them."""
    if path.suffix != SUFFIX or not path.is_file():
        return "fc8"
    stored = {name.split(".")[0] for name in safetensors_file.read_names(path)}
    return max(stored & {*CONV_LAYERS, *DENSE_LAYERS}, default="fc8")


def write(path: Path, network: Network) -> None:
    """Writes the file atomically."""
    arrays, text = to_arrays(network)
    safetensors_file.write(path, arrays, {TEXT: text})


def _own(path: Path, texts: dict[str, str]) -> str:
    if TEXT not in texts:
        raise UserError(
            f"{path} is not a weights file of alexnet_jax (it has no text {TEXT!r}): "
            f"convert it with python -m alexnet_jax.convert {path} ours{SUFFIX}"
        )
    return texts[TEXT]


def to_arrays(network: Network) -> tuple[dict[str, np.ndarray], str]:
    """The arrays by their names in the file, and the JSON text."""
    arrays = config_json.flatten(network.params)
    text = {
        "version": _VERSION,
        "config": dataclasses.asdict(network.config),
        "class_names": network.class_names,
        "step": network.step,
        "input": describe_input(network),
        "origin": network.origin,
    }
    return arrays | {"mean_image": network.mean_image}, json.dumps(text)


def from_arrays(path: Path, arrays: Mapping[str, np.ndarray], text: str) -> Network:
    """The inverse of `to_arrays`; raises UserError if the arrays do not fit."""
    content = _parsed(path, text)
    config = config_json.build_config(content.get("config"), path)
    layers = {name.split(".")[0] for name in arrays}
    shapes = parameter_shapes.of_stored(parameter_shapes.shapes(config), layers)
    mean = {"mean_image": (config.data.image_size,) * 2 + (3,)}
    stored = {name: array.shape for name, array in arrays.items()}
    parameter_shapes.check(path, stored, config_json.flatten(shapes) | mean)
    checked = {
        name: parameter_shapes.as_float32(path, name, array)
        for name, array in arrays.items()
    }
    return Network(
        name=str(path),
        config=config,
        params={
            layer: {kind: checked[f"{layer}.{kind}"] for kind in kinds}
            for layer, kinds in shapes.items()
        },
        mean_image=checked["mean_image"],
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
            f"{path} has version {str(content['version'])[:20]}, and this package "
            f"reads version {_VERSION}."
        )
    return content


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
            f"{path}: its class names are not a list of at most "
            f"{config.model.num_classes} names."
        )
    return names


def _origin(content: dict[str, Any]) -> dict[str, str]:
    origin = content.get("origin")
    if not isinstance(origin, dict):
        return {}
    return {str(name): str(value) for name, value in origin.items()}
