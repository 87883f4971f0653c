"""PyTorch modules: one readable Python file of a network in testing, and its weights.

The file needs torch and safetensors and nothing of this package. It is written for one
configuration, so each layer is a line with its numbers. Modules are called conv1,
relu1, norm1, pool1 and so on to fc8, for hooks. The weights lie beside it, in a
safetensors file of the same name: "conv1.weight" `[outputs, inputs, height, width]`,
"conv1.bias", ..., and "mean" `[3, crop, crop]`, RGB on 0-255.
"""

import textwrap
from pathlib import Path

import numpy as np

import alexnet_jax
from alexnet_jax import augment
from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files
from alexnet_jax.weights import (
    layouts,
    network_file,
    operations,
    safetensors_file,
    torch_source,
)
from alexnet_jax.weights.network import Network, describe_input

SUFFIX = ".py"
TEXT = "alexnet_jax_torch_module"  # the metadata entry of the weights file
MEAN = "mean"


def weights_beside(path: Path) -> Path:
    """The weights file of a module: the same name, with suffix .safetensors."""
    return path.with_suffix(network_file.SUFFIX)


def check_names(path: Path) -> None:
    """Raises UserError if the module could not be imported by its name, or its weights
    file exists."""
    if not path.stem.isidentifier():
        raise UserError(
            f"{path}: Python cannot import a module of the name {path.stem!r}: use "
            "letters, digits and underscores."
        )
    weights = weights_beside(path)
    if weights.exists():
        raise UserError(f"{weights} already exists: delete it, or choose another name.")


def write(path: Path, network: Network) -> None:
    """Writes the weights and then the module, each atomically."""
    _, text = network_file.to_arrays(network)
    safetensors_file.write(weights_beside(path), arrays(network), {TEXT: text})
    atomic_files.write_bytes(path, source(path, network).encode())


def arrays(network: Network) -> dict[str, np.ndarray]:
    """The module's state_dict."""
    state = layouts.from_params(network.params, {one: one for one in layouts.LAYERS})
    for one in operations.of_network(network):
        if isinstance(one.kind, operations.Dense) and one.kind.groups > 1:
            name, dense = f"{one.layer}.weight", one.kind
            inputs = dense.maps // dense.groups
            state[name] = state[name].reshape(-1, inputs, dense.side, dense.side)
    crop = network.config.augment.crop_size
    mean = np.asarray(augment.center_crop(network.mean_image, crop))
    return state | {MEAN: np.ascontiguousarray(np.moveaxis(mean, -1, 0))}


def source(path: Path, network: Network) -> str:
    """The text of the module.

    Args:
        path: its file.
    """
    steps = operations.of_network(network)
    crop, size = network.config.augment.crop_size, network.config.data.image_size
    layers, calls = torch_source.layers(steps), torch_source.calls(steps)
    first = (size - crop) // 2
    last = f"{steps[-1].name}, `[batch, {', '.join(map(str, steps[-1].shape))}]`"
    meaning = (
        "logits, before the softmax" if network.last == "fc8" else "the last layer"
    )
    return f'''\
{_head(path, network)}
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

WEIGHTS = Path(__file__).with_suffix("{network_file.SUFFIX}")
{torch_source.classes(steps)}

class AlexNet(nn.Module):
    def __init__(self):
        super().__init__()
{textwrap.indent(layers, " " * 8)}
        self.register_buffer("{MEAN}", torch.zeros(3, {crop}, {crop}))

    def forward(self, x):
        """`[batch, 3, {crop}, {crop}]`, preprocessed, to {last}:
        {meaning}."""
{textwrap.indent(calls, " " * 8)}
        return x

    def preprocess(self, image):
        """uint8 `[batch, {size}, {size}, 3]`, RGB, to the input of `forward`."""
        crop = image[:, {first}:{first + crop}, {first}:{first + crop}]
        x = crop.permute(0, 3, 1, 2).float() - self.{MEAN}
        {_scaled(network)}

    @classmethod
    def load(cls, path=WEIGHTS):
        """The network with the weights of the file beside this one, in testing."""
        model = cls()
        model.load_state_dict(load_file(path))
        return model.eval()
'''


def _head(path: Path, network: Network) -> str:
    """The docstring of the module."""
    words = describe_input(network).rpartition(";")[0]  # without the order of axes
    expected = textwrap.fill(f"Input: {words}.", 88, break_long_words=False)
    return f'''\
"""AlexNet as a PyTorch module, written by alexnet_jax {alexnet_jax.__version__}.

    from {path.stem} import AlexNet

    model = AlexNet.load()
    logits = model(model.preprocess(image))

{expected}

The network in testing, without dropout. PyTorch's order: [batch, maps, height, width].
"""
'''


def _scaled(network: Network) -> str:
    scale = network.config.augment.pixel_scale
    if scale == 1:
        return "return x"
    if isinstance(scale, tuple):
        # Nine digits tell every float32.
        factors = ", ".join(f"{factor:.9g}" for factor in scale)
        return (
            f"scale = x.new_tensor([{factors}])\n        return x * scale.view(3, 1, 1)"
        )
    return f"return x * {scale!r}"
