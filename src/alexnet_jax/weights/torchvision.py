"""torchvision's AlexNet: converts its state_dict to our network, and back.

Its input is (x - mean) / std for RGB x on 0-1. Our x is on 0-255, so the mean image is
255 mean and the scale of each channel 1 / (255 std); the parameters are copied bit for
bit.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax import config_json
from alexnet_jax.config import Config, ModelConfig
from alexnet_jax.errors import UserError
from alexnet_jax.presets import torchvision as preset
from alexnet_jax.weights import layouts, safetensors_file, torch_file
from alexnet_jax.weights.network import Network, describe_input

NAMES = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}
_INPUT = "alexnet_jax_input"  # the metadata entry for the expected preprocessing


def is_state(arrays: dict[str, np.ndarray]) -> bool:
    """True if they have torchvision's names."""
    return any(name.startswith(("features.", "classifier.")) for name in arrays)


def to_weights(
    path: Path, arrays: dict[str, np.ndarray], texts: dict[str, str]
) -> Network:
    """Converts a state_dict to our network.

    Raises:
        UserError: it is another network; names what does not fit, with both shapes. Or
            `write_safetensors` wrote it for a network whose preprocessing differs from
            torchvision's: the file lacks its mean image.
    """
    config = preset.TORCHVISION_ALEXNET
    last = arrays.get(f"{NAMES['fc8']}.bias")
    if last is not None and last.ndim == 1:
        config = layouts.with_classes(config, len(last))
    params = layouts.to_params(path, arrays, config, "channels_first", NAMES, bgr=False)
    network = Network(
        name=str(path),
        config=config,
        params=params,
        mean_image=mean_image(config),
        origin={
            "format": f"PyTorch, {path.suffix}",
            "network": "torchvision_alexnet",
            "channel_order": "RGB",
            "layout": "channels_first",
            "mean": "torchvision's, per channel",
            **layouts.left_out(arrays, NAMES),
        },
    )
    expected = texts.get(_INPUT, describe_input(network))
    if expected not in (describe_input(network), describe_input(_of_before(network))):
        raise UserError(
            f"{path} holds a network whose preprocessing differs from torchvision's "
            f"({expected}), and does not hold its mean image: convert the original."
        )
    return network


def _of_before(network: Network) -> Network:
    """As an older version wrote it, which had no bilinear filter."""
    data = dataclasses.replace(network.config.data, bilinear=False)
    config = dataclasses.replace(network.config, data=data)
    return dataclasses.replace(network, config=config)


def mean_image(config: Config) -> np.ndarray:
    """float32 `[size, size, 3]` on 0-255, the same at each pixel."""
    size = config.data.image_size
    mean = np.array([255 * value for value in preset.TORCHVISION_MEAN], np.float32)
    return np.broadcast_to(mean, (size, size, 3)).copy()


def state_of(path: Path, network: Network) -> dict[str, np.ndarray]:
    """Converts a network to a state_dict.

    Raises:
        UserError: torchvision has no such network; names the fields that differ.
    """
    ours = network.config.model
    theirs = layouts.with_classes(preset.TORCHVISION_ALEXNET, ours.num_classes).model
    # Neither initial values nor dropout matter once a network is trained, except for
    # the factor that it applies at test time unless it is inverted.
    immaterial = {"kernel_std", "bias", "dropout_rate", "precision"}
    if ours.dropout == "inverted" or ours.dropout_rate == 0:
        immaterial.add("dropout")
    differing = [
        name
        for name in config_json.differing(_fields(ours), _fields(theirs))
        if name.split(".")[-1] not in immaterial
    ]
    if differing:
        raise UserError(
            f"{path}: torchvision's AlexNet is another network. It differs in "
            f"{', '.join(differing)}. Write .safetensors or .npz instead."
        )
    return layouts.from_params(network.params, NAMES)


def _fields(model: ModelConfig) -> dict[str, Any]:
    return config_json.flatten(dataclasses.asdict(model))


def write_pth(path: Path, network: Network) -> None:
    """Writes a state_dict as a PyTorch file."""
    torch_file.write(path, state_of(path, network))


def write_safetensors(path: Path, network: Network) -> None:
    """Writes a state_dict as a safetensors file."""
    texts = {_INPUT: describe_input(network)}
    safetensors_file.write(path, state_of(path, network), texts)
