"""Caffe's AlexNet and CaffeNet: recognises them and converts them to our network.

Caffe's images are BGR on 0-255, ours RGB. So the channels of conv1's kernels and of the
mean image are reversed; nothing else changes.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from alexnet_jax.config import Config, ModelConfig
from alexnet_jax.config_checks import conv_layers
from alexnet_jax.errors import UserError
from alexnet_jax.presets.caffe import CAFFE_ALEXNET, CAFFE_MEAN, CAFFENET
from alexnet_jax.weights import caffemodel, layouts
from alexnet_jax.weights.caffemodel import Layer, Net
from alexnet_jax.weights.layouts import LAYERS, Layout
from alexnet_jax.weights.network import Network

Preset = Literal["caffe_alexnet", "caffenet"]
PRESETS = {"caffe_alexnet": CAFFE_ALEXNET, "caffenet": CAFFENET}
_NAMES = {layer: layer for layer in LAYERS}


def of_caffemodel(path: Path, preset: Preset | None, mean: Path | None) -> Network:
    """Reads the network in a .caffemodel file.

    Args:
        preset: which of the two it is. None means to tell by its graph or its name.
        mean: its mean image. None means Caffe's mean colour.

    Raises:
        UserError: the file is damaged, or holds another network; names what differs.
    """
    net = caffemodel.read_net(path)
    recognised = _recognise(net)
    if preset and recognised and preset != recognised:
        raise UserError(f"--preset {preset}: {path} holds {recognised}.")
    preset = preset or recognised
    if preset is None:
        raise UserError(_ambiguous(path))
    _check_settings(path, net, PRESETS[preset].model)
    arrays = {
        f"{layer}.{kind}": array
        for layer, blobs in _layers_with_blobs(path, net).items()
        for kind, array in zip(("weight", "bias"), blobs, strict=False)
    }
    return of_arrays(
        path, arrays, preset, mean, form=f"Caffe's .caffemodel, {net.version}"
    )


def of_arrays(
    path: Path,
    arrays: dict[str, np.ndarray],
    preset: Preset | None,
    mean: Path | None,
    *,
    form: str,
) -> Network:
    """The network with the arrays "conv1.weight", "conv1.bias" and so on.

    The shape of conv1's kernel tells their layout; see `layouts`.
    """
    if preset is None:
        raise UserError(_ambiguous(path))
    config = PRESETS[preset]
    if "fc8.bias" in arrays and arrays["fc8.bias"].ndim == 1:
        config = layouts.with_classes(config, len(arrays["fc8.bias"]))
    layout = _layout(arrays)
    return Network(
        name=str(path),
        config=config,
        params=layouts.to_params(path, arrays, config, layout, _NAMES, bgr=True),
        mean_image=read_mean_image(mean, config),
        origin={
            "format": form,
            "network": preset,
            "channel_order": "BGR",
            "layout": layout,
            "mean": mean.name if mean else "Caffe's, per channel",
            **layouts.left_out(arrays, _NAMES),
        },
    )


def _ambiguous(path: Path) -> str:
    return (
        f"{path} may hold Caffe's AlexNet or CaffeNet, which have the same shapes "
        "(they differ in the order of pooling and normalisation): say which with "
        "--preset caffe_alexnet or --preset caffenet."
    )


def _recognise(net: Net) -> Preset | None:
    """By the input of norm1, else by the name of the network."""
    norm = net.layers.get("norm1")
    if norm is not None and norm.bottoms:
        return "caffenet" if norm.bottoms == ["pool1"] else "caffe_alexnet"
    names: dict[str, Preset] = {"alexnet": "caffe_alexnet", "caffenet": "caffenet"}
    return names.get(net.name.lower())


def _layers_with_blobs(path: Path, net: Net) -> dict[str, list[np.ndarray]]:
    """The parameters by layer. Fine-tuning may have renamed the last one
    ("fc8_flickr")."""
    blobs = {}
    for layer in net.layers.values():
        if not layer.blobs:
            continue
        name = "fc8" if layer.name.startswith("fc8") else layer.name
        if name in blobs:
            raise UserError(f"{path} has more than one last layer: {layer.name}.")
        if len(layer.blobs) != 2:
            raise UserError(
                f"{path}: {layer.name} has {len(layer.blobs)} arrays; the network has "
                "weights and biases in each layer."
            )
        blobs[name] = [_without_ones(blob, layer) for blob in layer.blobs]
    return blobs


def _without_ones(blob: np.ndarray, layer: Layer) -> np.ndarray:
    """Drops the leading ones of old files, whose matrices and vectors have four
    dimensions: `[1, 1, 4096, 9216]`."""
    if blob.ndim != 4:
        return blob
    ndim = 4 if layer.name.startswith("conv") else 2
    if blob is layer.blobs[1]:
        ndim = 1
    if any(size != 1 for size in blob.shape[: 4 - ndim]):
        return blob
    return blob.reshape(blob.shape[4 - ndim :])


def _layout(arrays: dict[str, np.ndarray]) -> Layout:
    conv1 = arrays.get("conv1.weight")
    is_last = conv1 is not None and conv1.ndim == 4 and conv1.shape[2:] == (3, 96)
    return "channels_last" if is_last else "channels_first"


def _check_settings(path: Path, net: Net, model: ModelConfig) -> None:
    """Refuses a network with the same shapes but other operations."""
    problems = []
    for name, wanted in _wanted(model).items():
        settings = net.layers[name].settings if name in net.layers else {}
        for key, value in settings.items():
            expected = wanted.get(_of_both_sides(key), value)
            # The file stores float32.
            if np.float32(value) != np.float32(expected):
                problems.append(f"{name}.{key} is {value:g} and should be {expected}")
    if problems:
        listed = "\n  ".join(problems)
        raise UserError(f"{path} holds another network:\n  {listed}")


def _of_both_sides(key: str) -> str:
    """The setting of which this is one side's: "pad" of "pad_h"."""
    stem, _, side = key.rpartition("_")
    if side not in ("h", "w"):
        return key
    return "kernel_size" if stem == "kernel" else stem


def _wanted(model: ModelConfig) -> dict[str, dict[str, float]]:
    """The settings that Caffe's layers should have, by layer."""
    settings = {}
    for name, layer in conv_layers(model).items():
        group = model.num_columns if layer.sees == "own" else 1
        pad, norm, pool = layer.padding[0], layer.local_norm, layer.pool
        settings[name] = {
            "pad": pad,
            "stride": layer.stride,
            "group": group,
            "dilation": 1,
        }
        settings[f"norm{name[-1]}"] = dict(
            local_size=norm.size,
            alpha=norm.alpha,
            beta=norm.beta,
            norm_region=0,
            k=norm.k,
        )
        settings[f"pool{name[-1]}"] = dict(
            pool=0,
            kernel_size=pool.window,
            stride=pool.stride,
            pad=0,
            global_pooling=0,
            round_mode=0,
        )
    return settings


def read_mean_image(path: Path | None, config: Config) -> np.ndarray:
    """float32 `[size, size, 3]`, RGB, from Caffe's mean image or a mean colour."""
    size = config.data.image_size
    if path is None:
        mean = np.array(CAFFE_MEAN, np.float32)
        return np.broadcast_to(mean, (size, size, 3)).copy()
    stored = _read_mean(path)
    mean = stored[0] if stored.ndim == 4 and len(stored) == 1 else stored
    if mean.shape == (3,):
        mean = np.broadcast_to(mean[:, None, None], (3, size, size))
    if mean.shape != (3, size, size):
        raise UserError(
            f"--mean {path} is {list(stored.shape)} and should be [3, {size}, {size}], "
            f"[1, 3, {size}, {size}] or [3]: blue, green, red."
        )
    image = np.ascontiguousarray(np.moveaxis(mean[::-1], 0, -1), np.float32)
    if not ((image >= 0) & (image <= 255)).all():
        raise UserError(f"--mean {path} has values outside 0-255.")
    return image


def _read_mean(path: Path) -> np.ndarray:
    if not path.is_file():
        raise UserError(f"--mean {path} does not exist.")
    if path.suffix != ".npy":
        return caffemodel.read_mean(path)
    try:
        stored = np.load(path, allow_pickle=False)
    except Exception as error:  # damaged bytes lead numpy to exceptions of many kinds
        raise UserError(f"--mean {path} cannot be read ({error}).") from error
    if not isinstance(stored, np.ndarray) or stored.dtype.kind not in "fiu":
        raise UserError(f"--mean {path} holds no array of numbers: give an .npy.")
    return stored
