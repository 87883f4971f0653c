"""Caffe's binary files: .caffemodel (a network) and .binaryproto (a mean image).

Field numbers are those of caffe.proto: messages NetParameter, LayerParameter,
V1LayerParameter, BlobProto and the parameters of the layers.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet_jax.errors import UserError
from alexnet_jax.weights import protobuf
from alexnet_jax.weights.protobuf import Malformed, Value


class Layer(NamedTuple):
    """One layer of a network."""

    name: str
    bottoms: list[str]
    """Names of its inputs."""
    blobs: list[np.ndarray]
    """Its parameters: weights and biases."""
    settings: dict[str, float]
    """Settings of its operation, by Caffe's names. A setting that the message omits
    has Caffe's default; a layer without the message has none."""


class Net(NamedTuple):
    """A network."""

    name: str
    version: str
    """Type of its layer messages."""
    layers: dict[str, Layer]


class _Version(NamedTuple):
    """The field numbers of a layer message."""

    title: str
    layer: int
    """In NetParameter."""
    name: int
    bottom: int
    blobs: int
    settings: dict[str, int]


_VERSIONS = (
    _Version("LayerParameter", 100, 1, 3, 7, {"conv": 106, "lrn": 118, "pooling": 121}),
    _Version("V1LayerParameter", 2, 4, 2, 6, {"conv": 10, "lrn": 18, "pooling": 19}),
)
_V0 = 1  # the field of a V1LayerParameter that holds an even older message

# Settings of a layer: (field number, Caffe's default).
_SETTINGS = {
    "conv": {"group": (5, 1)},
    "lrn": {
        "local_size": (1, 5),
        "alpha": (2, 1.0),
        "beta": (3, 0.75),
        "norm_region": (4, 0),
        "k": (5, 1.0),
    },
    "pooling": {"pool": (1, 0), "global_pooling": (12, 0), "round_mode": (13, 0)},
}
# Settings of height and width: (field number of both, of height, of width, default). A
# convolution may have one number for both, or a list of two.
_SIDES = {
    "conv": {
        "pad": (3, 9, 10, 0),
        "stride": (6, 13, 14, 1),
        "dilation": (18, None, None, 1),
    },
    "lrn": {},
    "pooling": {
        "kernel_size": (2, 5, 6, 0),
        "stride": (3, 7, 8, 1),
        "pad": (4, 9, 10, 0),
    },
}


def read_net(path: Path) -> Net:
    """Reads a .caffemodel file.

    Raises:
        UserError: the file is damaged, or of a format older than 2014.
    """
    try:
        content = protobuf.fields(memoryview(path.read_bytes()))
        for version in _VERSIONS:
            if version.layer in content:
                layers = [_layer(value, version) for value in content[version.layer]]
                name = protobuf.text(content[1][0]) if 1 in content else ""
                named = {layer.name: layer for layer in layers}
                return Net(name, version.title, named)
    except Malformed as error:
        raise UserError(
            f"{path} is not a .caffemodel, or is damaged: {error}."
        ) from error
    raise UserError(f"{path} is not a .caffemodel: it has no layers.")


def _layer(layer: Value, version: _Version) -> Layer:
    message = protobuf.fields(layer)
    if version.layer == 2 and _V0 in message:
        raise Malformed(
            "its layers have the oldest format (V0LayerParameter): convert it with "
            "Caffe's tool upgrade_net_proto_binary"
        )
    settings = {}
    for kind, number in version.settings.items():
        for value in message.get(number, [])[-1:]:  # of repeats the last counts
            settings |= _settings(value, kind)
    return Layer(
        name=protobuf.text(message[version.name][-1])
        if version.name in message
        else "",
        bottoms=[protobuf.text(name) for name in message.get(version.bottom, [])],
        blobs=[_blob(blob) for blob in message.get(version.blobs, [])],
        settings=settings,
    )


def _settings(settings: Value, kind: str) -> dict[str, float]:
    message = protobuf.fields(settings)
    found = {
        name: protobuf.number(message[number][-1]) if number in message else default
        for name, (number, default) in _SETTINGS[kind].items()
    }
    for name, (both, of_height, of_width, default) in _SIDES[kind].items():
        stated = protobuf.integers(message.get(both, []))
        stated = stated[-1:] if kind == "pooling" else stated
        height, width = (stated[0], stated[-1]) if stated else (default, default)
        if of_height in message or of_width in message:  # these count, as in Caffe
            height, width = (
                (protobuf.integers(message.get(number, [])) or [0])[-1]
                for number in (of_height, of_width)
            )
        found |= _by_side(name, height, width)
    return found


def _by_side(name: str, height: float, width: float) -> dict[str, float]:
    """One setting for both, or "pad_h" and "pad_w" where they differ."""
    if height == width:
        return {name: height}
    stem = name.removesuffix("_size")
    return {f"{stem}_h": height, f"{stem}_w": width}


def _blob(blob: Value) -> np.ndarray:
    """An array from data (field 5) or double_data (8), and its shape."""
    message = protobuf.fields(blob)
    if 8 in message:
        data = protobuf.floats(message[8], "<f8")
    else:
        data = protobuf.floats(message.get(5, []), "<f4")
    if 7 in message:
        dims = protobuf.fields(message[7][-1]).get(1, [])
        shape = protobuf.integers(dims)
    else:  # num, channels, height, width
        legacy = [message.get(number, [0])[-1] for number in (1, 2, 3, 4)]
        shape = protobuf.integers(legacy)
    # The second test refuses huge dimensions beside a 0, whose product fits.
    if math.prod(shape) != len(data) or max(shape, default=1) > max(1, len(data)):
        raise Malformed(f"{len(data):,} numbers do not have the shape {shape}")
    return data.reshape(shape)


def read_mean(path: Path) -> np.ndarray:
    """Reads a .binaryproto file: a mean image is `[1, 3, height, width]`, BGR.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return _blob(memoryview(path.read_bytes()))
    except Malformed as error:
        raise UserError(
            f"{path} is not a .binaryproto, or is damaged: {error}."
        ) from error
