"""torchvision's AlexNet: its state_dict as our network, and back.

Its images are RGB on 0-1 minus a mean, divided by a deviation. Ours are the same times
255, so the mean image is 255 mean, and the scale of each channel 1 / (255 deviation);
the parameters stay as they are, to the bit.
"""

import dataclasses
from pathlib import Path

import numpy as np

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
_INPUT = (
    "alexnet_jax_input"  # the text of a file of ours that says what images it wants
)


def is_state(arrays: dict[str, np.ndarray]) -> bool:
    """Whether they have torchvision's names."""
    return any(name.startswith(("features.", "classifier.")) for name in arrays)


def to_weights(path: Path, arrays: dict[str, np.ndarray], *, form: str) -> Network:
    """The network of a state_dict.

    Raises:
        UserError: it is another network; names what does not fit, with both shapes.
    """
    config = preset.TORCHVISION_ALEXNET
    last = arrays.get(f"{NAMES['fc8']}.bias")
    if last is not None and last.ndim == 1:
        config = layouts.with_classes(config, len(last))
    params = layouts.to_params(path, arrays, config, "channels_first", NAMES, bgr=False)
    return Network(
        name=str(path),
        config=config,
        params=params,
        mean_image=mean_image(config),
        origin={
            "format": form,
            "network": "torchvision_alexnet",
            "channel_order": "RGB",
            "layout": "channels_first",
            "mean": "torchvision's, of each channel",
        },
    )


def mean_image(config: Config) -> np.ndarray:
    """float32 `[size, size, 3]` on 0-255, the same at each place."""
    size = config.data.image_size
    mean = np.array([255 * value for value in preset.TORCHVISION_MEAN], np.float32)
    return np.broadcast_to(mean, (size, size, 3)).copy()


def check_texts(path: Path, found: Network, texts: dict[str, str]) -> None:
    """Refuses a file that `write_safetensors` made of a network which wants other
    images than torchvision's: its mean image is not in the file."""
    said = texts.get(_INPUT, describe_input(found))
    if said != describe_input(found):
        raise UserError(
            f"{path} was made of a network which wants other images than torchvision's "
            f"({said}), and does not hold its mean image: convert the original."
        )


def state_of(path: Path, found: Network) -> dict[str, np.ndarray]:
    """The state_dict of a network.

    Raises:
        UserError: torchvision has no such network; names the fields that differ.
    """
    theirs = layouts.with_classes(
        preset.TORCHVISION_ALEXNET, found.config.model.num_classes
    )
    differing = _differences(found.config.model, theirs.model)
    if differing:
        raise UserError(
            f"{path}: torchvision's AlexNet is another network. It differs in "
            f"{', '.join(differing)}. Write .safetensors or .npz instead."
        )
    return layouts.from_params(found.params, NAMES)


def _differences(ours: ModelConfig, theirs: ModelConfig) -> list[str]:
    """Fields of the architecture in which two networks differ, "conv1.features"."""
    # Neither initial values nor dropout matter once a network is trained, except for
    # the factor in testing that form 2012 has.
    immaterial = {"kernel_std", "bias", "dropout_rate", "precision"}
    found = []
    for field in dataclasses.fields(ModelConfig):
        one, other = getattr(ours, field.name), getattr(theirs, field.name)
        if dataclasses.is_dataclass(one):
            found += [
                f"{field.name}.{inner.name}"
                for inner in dataclasses.fields(one)
                if inner.name not in immaterial
                and getattr(one, inner.name) != getattr(other, inner.name)
            ]
        elif field.name == "dropout":
            found += ["dropout"] if one == "2012" else []
        elif field.name not in immaterial and one != other:
            found.append(field.name)
    return found


def write_pth(path: Path, found: Network) -> None:
    """Writes a state_dict as a file of PyTorch."""
    torch_file.write(path, state_of(path, found))


def write_safetensors(path: Path, found: Network) -> None:
    """Writes a state_dict as a safetensors file."""
    texts = {_INPUT: describe_input(found)}
    safetensors_file.write(path, state_of(path, found), texts)
