"""A model card: Markdown with the front matter that model hubs read."""

from pathlib import Path

from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config
from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files
from alexnet_jax.weights.network import Network, describe_input

_TITLES = {
    "command": "Trained by",
    "data": "Training data",
    "left_out": "Left out",
    "start": "Started from",
    "origin of the start": "Origin of the start",
    "result": "Error",
    "machine": "Machine",
    "remark": "Remark",
    "commit": "Commit of alexnet_jax",
}


# By file extension: how others use a file.
_USES = {
    ".safetensors": """\
import alexnet_jax

model = alexnet_jax.load("{file}")
model.predict("photo.png").top(3)""",
    ".npz": """\
import numpy as np

arrays = np.load("{file}")  # conv1.kernel, conv1.bias, ..., mean_image
# or: python -m alexnet_jax.convert {file} net.safetensors""",
    ".pth": """\
import torch

state = torch.load("{file}", weights_only=True)  # of torchvision.models.alexnet""",
    ".onnx": """\
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
(start,) = session.get_inputs()  # view: float32 NCHW, preprocessed; image: uint8 NHWC
(logits,) = session.run(None, {{start.name: pixels}})""",
    ".py": """\
from {stem} import AlexNet  # {file} and {stem}.safetensors in this folder

model = AlexNet.load()
logits = model(model.preprocess(image))  # uint8 NHWC, RGB""",
    ".jaxexport": """\
import jax
from pathlib import Path

program = jax.export.deserialize(bytearray(Path("{file}").read_bytes()))
print(program.in_avals)  # NHWC; float32: preprocessed; uint8: images
logits = jax.jit(lambda x: program.call(x)["fc8.linear"])(pixels)""",
}


def beside(path: Path) -> Path:
    """The card of a weights file: the same name, with suffix .md.

    Raises:
        UserError: it exists, and may have been edited.
    """
    card = path.with_suffix(".md")
    if card.exists():
        raise UserError(f"{card} already exists: delete it, or choose another name.")
    return card


def write(card: Path, path: Path, network: Network) -> None:
    """Writes the card of the weights file `path`."""
    atomic_files.write_bytes(card, text(path.name, network).encode())


def text(file: str, network: Network) -> str:
    """The card.

    Args:
        file: name of the weights file.
    """
    model = network.config.model
    facts = {
        "Classes": f"{model.num_classes:,}",
        "Parameters": f"{network.num_parameters:,}, float32",
        "Input": describe_input(network),
        **{_TITLES.get(name, name): value for name, value in network.origin.items()},
    }
    return f"""\
---
library_name: alexnet_jax
pipeline_tag: image-classification
tags: [alexnet, jax, flax]
---

# {Path(file).stem}

AlexNet (Krizhevsky, Sutskever, Hinton, 2012) with {_columns(network.config)}, by the
Python package alexnet_jax.

```python
{_USES[Path(file).suffix].format(file=file, stem=Path(file).stem)}
```

| | |
|---|---|
{_rows(facts)}

| layer | outputs | kernel | sees |
|---|---|---|---|
{_layers(network)}

The licence of the training images, and of weights converted from another library, is
that of their owners.
"""


def _columns(config: Config) -> str:
    number = config.model.num_columns
    return "one column" if number == 1 else f"{number} columns"


def _rows(facts: dict[str, str]) -> str:
    return "\n".join(
        f"| {name} | {value.replace('|', chr(92) + '|')} |"
        for name, value in facts.items()
    )


def _layers(network: Network) -> str:
    rows = []
    for name in (*CONV_LAYERS, *DENSE_LAYERS):
        if name not in network.params:
            continue
        layer = getattr(network.config.model, name)
        size = getattr(layer, "kernel_size", None)
        kernel = f"{size}x{size}, stride {layer.stride}" if size else ""
        rows.append(f"| {name} | {layer.features:,} | {kernel} | {layer.sees} |")
    return "\n".join(rows)
