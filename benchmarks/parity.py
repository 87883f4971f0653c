"""Do the forms that convert writes compute what this package computes?

python -m benchmarks.parity --photos TAR --data-dir FOLDER --json FILE

Writes the network of each preset in each form, as the command does, gives uint8 images
to each, in batches of 1 and 17, and compares every stage of every layer with the
network in memory: the largest difference over the largest value of the stage. digits
and cifar10 are the trained networks of the package with images of their test sets; the
others have random weights of realistic scale and see photographs. Needs onnx,
onnxruntime, flatbuffers and torch.
"""

import argparse
import importlib.util
import json
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from conditions import conditions, installed

import alexnet_jax
from alexnet_jax import augment, convert, model, presets, trained
from alexnet_jax.config import Config
from alexnet_jax.data import decoding, source
from alexnet_jax.presets.caffe import CAFFE_MEAN
from alexnet_jax.weights import (
    network_file,
    operations,
    parameter_shapes,
    torch_source,
)
from alexnet_jax.weights.network import Network

IMAGES = 50
BATCHES = (1, 17, 17, 15)
LIMIT = 1e-5
_PACKAGES = ("onnx", "onnxruntime", "flatbuffers", "safetensors", "torch")

Stages = dict[str, np.ndarray]
Run = Callable[[np.ndarray], Stages]
"""From uint8 images `[batch, size, size, 3]` to stages, `[batch, ..., maps]`."""


def network_of(preset: str) -> Network:
    """The trained network of the package, else one with random weights: kernels of the
    deviation sqrt(2 / inputs), which keeps activations at their scale."""
    if preset in trained.NAMES:
        return network_file.read(trained.locate(preset))
    config = presets.PRESETS[preset]
    generator = np.random.default_rng(0)

    def array(kind: str, shape: tuple[int, ...]) -> np.ndarray:
        deviation = (2 / np.prod(shape[:-1])) ** 0.5 if kind == "kernel" else 0.1
        return generator.normal(0, deviation, shape).astype(np.float32)

    size = config.data.image_size
    mean = np.array(CAFFE_MEAN, np.float32)
    return Network(
        name=preset,
        config=config,
        params={
            layer: {kind: array(kind, shape) for kind, shape in kinds.items()}
            for layer, kinds in parameter_shapes.shapes(config).items()
        },
        mean_image=np.broadcast_to(mean, (size, size, 3)).copy(),
    )


def images_of(preset: str, config: Config, options: argparse.Namespace) -> np.ndarray:
    """Uint8 `[50, size, size, 3]`."""
    size = config.data.image_size
    images = np.empty((IMAGES, size, size, 3), np.uint8)
    if preset not in trained.NAMES:
        for image, content in zip(images, _photographs(options.photos), strict=True):
            decoding.read_into(
                content, image, squash=config.data.squash, bilinear=config.data.bilinear
            )
        return images
    with tempfile.TemporaryDirectory() as folder:
        data_dir = folder if preset == "digits" else str(options.data_dir)
        data = type(config.data)(**vars(config.data) | {"data_dir": data_dir})
        opened = source.open_source(data, data.eval_split)
        opened.read(np.arange(IMAGES), images, np.empty(IMAGES, np.int32))
    return images


def _photographs(path: Path) -> Iterator[bytes]:
    with tarfile.open(path) as tar:
        for name in sorted(tar.getnames())[:IMAGES]:
            file = tar.extractfile(name)
            assert file is not None, name
            yield file.read()


def in_memory(network: Network) -> Run:
    """What all forms are compared with."""
    config = network.config

    def run(images: np.ndarray) -> Stages:
        view = augment.center_view(images, network.mean_image, config.augment)
        return model.stages(config.model, network.params, view)

    return _on_host(jax.jit(run))


def _on_host(run: Callable[[np.ndarray], Any]) -> Run:
    return lambda images: {k: np.asarray(v) for k, v in run(images).items()}


def of_safetensors(path: Path, network: Network) -> Run:
    loaded = alexnet_jax.load(path)
    return lambda images: loaded.features(images, list(loaded.layers()))


def of_onnx(path: Path, network: Network) -> Run:
    import onnx
    import onnxruntime

    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    proto.graph.output.extend(proto.graph.value_info)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]

    def run(images: np.ndarray) -> Stages:
        arrays = session.run(names, {"image": images})
        return channels_last(dict(zip(names, arrays, strict=True)))

    return run


def channels_last(arrays: Stages) -> Stages:
    """From NCHW."""
    return {
        name: array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
        for name, array in arrays.items()
    }


def of_torch_module(path: Path, network: Network) -> Run:
    import torch

    module = imported(path).AlexNet.load()
    found = hooked(module, network)

    def run(images: np.ndarray) -> Stages:
        with torch.no_grad():
            module(module.preprocess(torch.from_numpy(images)))
        return channels_last(found)

    return run


def imported(path: Path) -> Any:
    """A file of Python as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hooked(module: Any, network: Network) -> Stages:
    """What hooks on the modules see, by the names of our stages; each pass fills it."""
    found: Stages = {}

    def keep(name: str) -> Callable[[Any, Any, Any], None]:
        return lambda _, inputs, output: found.update({name: output.numpy()})

    for one in operations.of_network(network):
        if one.stage != "factor":
            submodule = module.get_submodule(torch_source.module_name(one))
            submodule.register_forward_hook(keep(one.name))
    return found


def of_exported(path: Path, network: Network) -> Run:
    program = jax.export.deserialize(bytearray(path.read_bytes()))
    return _on_host(jax.jit(program.call))


FORMS = {
    "safetensors": ("again.safetensors", {}, of_safetensors),
    "ONNX": ("graph.onnx", {"with_input": True}, of_onnx),
    "PyTorch module": ("module.py", {"torch_module": True}, of_torch_module),
    "exported program": ("program.jaxexport", {"with_input": True}, of_exported),
}


def compare(run: Run, expected: Run, images: np.ndarray) -> dict[str, Any]:
    """Largest difference over largest value by stage, and how many images have the
    same best class."""
    difference: dict[str, float] = {}
    largest: dict[str, float] = {}
    same = 0
    for batch in np.split(images, np.cumsum(BATCHES)[:-1]):
        theirs, ours = run(batch), expected(batch)
        for name, array in ours.items():
            assert theirs[name].shape == array.shape, name
            far = float(np.abs(theirs[name] - array).max())
            difference[name] = max(difference.get(name, 0.0), far)
            high = float(np.abs(array).max())
            largest[name] = max(largest.get(name, 0.0), high)
        best = [stages["fc8.linear"].argmax(1) for stages in (theirs, ours)]
        same += int((best[0] == best[1]).sum())
    ratios = {name: difference[name] / largest[name] for name in difference}
    return {"differences": ratios, "same_best_class": same}


def rows_of(preset: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    network = network_of(preset)
    images = images_of(preset, network.config, options)
    expected = in_memory(network)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = folder / "ours.safetensors"
        network_file.write(ours, network)
        for form, (file, chosen, reader) in FORMS.items():
            dest = folder / file
            convert.run(convert.Options(source=ours, dest=dest, **chosen))
            found = compare(reader(dest, network), expected, images)
            is_trained = preset in trained.NAMES
            yield {
                "preset": preset,
                "weights": "trained" if is_trained else "random",
                "images": f"{preset} test" if is_trained else "ILSVRC 2012 validation",
                "form": form,
                **found,
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="a tar of images")
    parser.add_argument("--data-dir", type=Path, required=True, help="holds cifar10")
    parser.add_argument("--preset", nargs="+", default=list(presets.PRESETS))
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    rows = []
    for preset in options.preset:
        for row in rows_of(preset, options):
            worst = max(row["differences"], key=row["differences"].get)
            ratio, same = row["differences"][worst], row["same_best_class"]
            print(f"{preset:20} {row['form']:17} {ratio:.1e} at {worst:16} {same}")
            rows.append(row)
    facts = conditions("parity.py")
    facts["versions"] |= installed(_PACKAGES)
    facts |= {"batches": BATCHES, "limit": LIMIT, "rows": rows}
    options.json.write_text(json.dumps(facts, indent=1) + "\n")
    if max(max(row["differences"].values()) for row in rows) > LIMIT:
        sys.exit(f"error: a difference is above {LIMIT}")


if __name__ == "__main__":
    main()
