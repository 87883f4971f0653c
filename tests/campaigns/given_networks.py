"""Files of networks, altered at random, under right and wrong names, to every reader:
`convert`, `load`, `--init-from`, `--mean` and the heads of LPIPS.

Each accepts a file or refuses it with a message that names it.
"""

import collections
import dataclasses
import functools
import importlib.util
import random
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaigns import jobs, tries
from tests.campaigns.fuzz import ACCEPTED, REFUSED, altered
from tests.campaigns.jobs import Place
from tests.campaigns.tries import Row, Try

_SUFFIXES = (
    *(".safetensors", ".npz", ".npy", ".pth", ".caffemodel", ".binaryproto"),
    *(".onnx", ".jaxexport"),
)


def given_networks(place: Place, wanted: int) -> Row:
    """A third has the name of another format."""
    tries.make_tests_importable()

    def attempt(folder: Path, number: int) -> Try:
        jobs.request_devices()
        chance = random.Random(number)
        forms = list(_contents().items())
        name, content = forms[number % len(forms)]
        form = name
        if chance.random() < 1 / 3:
            name = Path(name).stem + chance.choice(_SUFFIXES)
        path = folder / name
        path.write_bytes(altered(content, chance, most=3, head=2000))
        outcomes = {reader: _outcome(read, path) for reader, read in _readers().items()}
        wrong = [
            f"{name}, {reader}: {outcome}"
            for reader, outcome in outcomes.items()
            if outcome not in (ACCEPTED, REFUSED)
        ]
        is_accepted = ACCEPTED in outcomes.values()
        return Try(True, wrong, ACCEPTED if is_accepted else REFUSED, form)

    return tries.count(
        place,
        "altered file of a network, to five readers",
        wanted,
        attempt,
        most=wanted,
        remark=lambda each: _counts(one.note for one in each),
    )


def _counts(names: Iterable[str]) -> str:
    """How many of each format there were."""
    counted = collections.Counter(names)
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items()))


def _outcome(read: Callable[[Path], Any], path: Path) -> str:
    """Accepted, refused, or what is wrong with the way in which it ended."""
    from alexnet_jax.errors import UserError

    try:
        read(path)
    except UserError as error:
        text = str(error)
        is_named = path.name in text and "Traceback" not in text
        return REFUSED if is_named else f"no name in the message: {text[:200]}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ACCEPTED


@functools.cache
def _readers() -> dict[str, Callable[[Path], Any]]:
    import alexnet_jax
    from alexnet_jax import presets
    from alexnet_jax.training import init_from
    from alexnet_jax.weights import any_format, caffe

    def start(path: Path) -> None:
        config = dataclasses.replace(presets.DIGITS, init_from=str(path))
        init_from.check(config, path.parent / "run")

    def mean(path: Path) -> None:
        caffe.read_mean_image(path, presets.CAFFENET)

    return {
        "convert": lambda path: any_format.read(path, any_format.Hints()),
        "convert --mean": mean,
        "load": alexnet_jax.load,
        "--init-from": start,
        "lpips_heads": alexnet_jax.lpips_heads,
    }


@functools.cache
def _contents() -> dict[str, bytes]:
    """The files by name; those of packages that are not installed are left out."""
    from caffe_files import binaryproto, caffemodel
    from safetensors.numpy import save
    from stand_ins import digits_network

    from alexnet_jax.presets import TORCHVISION_ALEXNET
    from alexnet_jax.weights import any_format

    network = digits_network()
    small = {layer: (np.ones((4, 2)), np.ones(4)) for layer in ("conv1", "fc6", "fc8")}
    convolutions = [getattr(TORCHVISION_ALEXNET.model, f"conv{i}") for i in range(1, 6)]
    heads = {
        f"lin{number}.model.1.weight": np.ones((1, layer.features, 1, 1), np.float32)
        for number, layer in enumerate(convolutions)
    }
    contents = {
        "net.caffemodel": caffemodel(small),
        "mean.binaryproto": binaryproto(np.ones((3, 4, 4))),
        "heads.safetensors": save(heads),
        "theirs.safetensors": save({"features.0.weight": np.ones((64, 3, 11, 11))}),
    }
    forms: list[tuple[str, any_format.Form, str]] = [
        ("net.safetensors", "ours", ""),
        ("net.npz", "ours", ""),
        ("net.onnx", "ours", "onnx"),
        ("input.onnx", "with_input", "onnx"),
        ("net.jaxexport", "ours", "flatbuffers"),
        ("module.py", "torch_module", ""),
    ]
    for name, form, package in forms:
        if not package or importlib.util.find_spec(package):
            contents |= _written(network, name, form)
    if importlib.util.find_spec("torch"):
        contents |= _of_torch(heads)
    return contents


def _written(network: Any, name: str, form: Any) -> dict[str, bytes]:
    """What convert writes, but for the text of a PyTorch module."""
    from alexnet_jax.weights import any_format

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        any_format.writer(path, form)(path, network)
        files = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
    return {name: content for name, content in files.items() if name != "module.py"}


def _of_torch(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    from alexnet_jax.weights import torch_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heads.pth"
        torch_file.write(path, arrays)
        return {path.name: path.read_bytes()}
