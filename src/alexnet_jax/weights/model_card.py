"""A model card: Markdown with the front matter that model hubs read."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from alexnet_jax import config_json
from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config
from alexnet_jax.errors import UserError
from alexnet_jax.presets import ALEXNET_PAPER
from alexnet_jax.system import atomic_files
from alexnet_jax.weights.network import Network, describe_input

_TITLES = {
    "command": "Trained by",
    "data": "Training data",
    "left_out": "Left out",
    "start": "Started from",
    "origin of the start": "Origin of the start",
    "result": "Error",
    "data_licence": "Licence of the training data",
    "machine": "Machine",
    "remark": "Remark",
    "commit": "Commit of alexnet_jax",
}


_ERROR = re.compile(r"top-1 error ([\d.]+)%")  # of `progress.error_text`
# Initial values, and how it is computed.
_NOT_OF_IT = ("kernel_std", ".bias", "precision")

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
    """Writes the card of the weights file `path`, which exists."""
    atomic_files.write_bytes(card, text(path, network).encode())


def text(path: Path, network: Network, name: str | None = None) -> str:
    """The card of a weights file.

    Args:
        name: by which it is loaded. None means its file name.
    """
    name = name or path.name
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    origin = {_TITLES.get(key, key): value for key, value in network.origin.items()}
    facts = {
        "Classes": f"{network.config.model.num_classes:,}",
        "Parameters": f"{network.num_parameters:,}, float32",
        "Input": describe_input(network),
        **_recipe(network),
        **origin,
        "SHA-256 of this file": checksum,
    }
    title = Path(name).stem
    return f"""\
---
{_front_matter(title, network)}
---

# {title}

AlexNet (Krizhevsky, Sutskever, Hinton, 2012) with {_columns(network.config)}, by the
Python package alexnet_jax.

```python
{_USES[path.suffix].format(file=name, stem=title)}
```

| | |
|---|---|
{_rows(facts)}

| layer | outputs | kernel | sees |
|---|---|---|---|
{_layers(network)}

{_differences(network)}

The licence of the training images, and of weights converted from another library, is
that of their owners.
"""


def _front_matter(name: str, network: Network) -> str:
    """What the Hugging Face hub reads: YAML, one line per entry, its values JSON."""
    is_whole = network.last == "fc8"
    task = "image-classification" if is_whole else "image-feature-extraction"
    entries: dict[str, Any] = {
        "library_name": "alexnet_jax",
        "pipeline_tag": task,
        "tags": ["alexnet", "jax", "flax"],
    }
    error = _ERROR.match(network.origin.get("result", ""))
    if error:
        data = network.config.data
        accuracy = round(1 - float(error[1]) / 100, 6)
        dataset = {"name": data.name, "type": data.name, "split": data.eval_split}
        metric = {"type": "accuracy", "name": "top-1, centre view", "value": accuracy}
        result = {"task": {"type": task}, "dataset": dataset, "metrics": [metric]}
        entries["model-index"] = [{"name": name, "results": [result]}]
    return "\n".join(f"{key}: {json.dumps(value)}" for key, value in entries.items())


def _recipe(network: Network) -> dict[str, str]:
    """How a network of ours was trained; nothing for those of others."""
    if "network" in network.origin:
        return {}
    config, optimizer = network.config, network.config.optimizer
    return {
        "Recipe": f"{config.num_epochs:g} epochs, {config.batch_size} images per step; "
        f"learning rate {optimizer.learning_rate:g} ({optimizer.schedule}), momentum "
        f"{optimizer.momentum:g}, weight decay {optimizer.weight_decay:g}; seed "
        f"{config.seed}"
    }


def _differences(network: Network) -> str:
    """A table of what is not as in the paper's text."""
    here, paper = (
        {
            name: value
            for name, value in config_json.flatten(
                config_json.to_json(config)["model"]
            ).items()
            if not name.endswith(_NOT_OF_IT)
        }
        for config in (network.config, ALEXNET_PAPER)
    )
    rows = [
        f"| `{name}` | {there} | {now} |"
        for name, (there, now) in config_json.differing(paper, here).items()
    ]
    if not rows:
        return "The network is that of the paper's text."
    return "\n".join(["| differs | paper | here |", "|---|---|---|", *rows])


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
