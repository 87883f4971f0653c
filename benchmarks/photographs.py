"""Predictions and features of full-size photographs, against the bare evaluation step.

python -m benchmarks.photographs --source FOLDER_WITH_OFFICIAL_TARS [--json FILE]

An untrained `alexnet2012` and the first 100 images of the training archive, as files.
The step, `Model.predict` and `Model.features` take turns; the ratio says what reading,
decoding and scaling add where they overlap with computing. Then the command `features`
runs over 1,000 and over 10,000 links to these files, and its peak memory is taken.
"""

import argparse
import contextlib
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import steps
from commands import measured
from conditions import conditions

from alexnet_jax import columns, train_step
from alexnet_jax.config import MeshConfig
from alexnet_jax.inference import trained_model
from alexnet_jax.preparation import imagenet_tars
from alexnet_jax.presets import PRESETS
from alexnet_jax.system import devices
from alexnet_jax.weights import network_file
from alexnet_jax.weights.network import Network

IMAGES = 100
CONFIG = dataclasses.replace(PRESETS["alexnet2012"], batch_size=IMAGES)


def unpack(source: Path, folder: Path) -> list[Path]:
    """The first images of the training archive, as files."""
    split = imagenet_tars.open_tars(source, None).splits["train"]
    folder.mkdir()
    for index in range(IMAGES):
        image = split.read(index)
        (folder / image.name).write_bytes(image.encoded)
    return sorted(folder.iterdir())


def write_network(path: Path) -> None:
    mesh = columns.make_mesh(MeshConfig(), 2, jax.devices())
    with jax.set_mesh(mesh):
        state = train_step.create_train_state(CONFIG, mesh, jax.random.key(0))
    size = CONFIG.data.image_size
    mean = np.full((size, size, 3), 120, np.float32)
    params = jax.device_get(state.params)
    network = Network(name="untrained", config=CONFIG, params=params, mean_image=mean)
    network_file.write(path, network)


def times(photos: list[Path], network: Path, rounds: int) -> dict[str, float]:
    """Median seconds for all images: the step alone, predictions, features."""
    model = trained_model.load(network)
    with contextlib.ExitStack() as stack:
        step = steps.compiled(CONFIG, MeshConfig(), stack)["eval"]
        forms: dict[str, Callable[[], Any]] = {
            "step": lambda: step(1),
            "predict": lambda: model.predict(photos),
            "features": lambda: model.features(photos, ["conv5", "fc7"]),
        }
        taken: dict[str, list[float]] = {name: [] for name in forms}
        for number in range(rounds + 1):
            for name, form in forms.items():
                began = time.perf_counter()
                form()
                if number:  # the first compiles
                    taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def peak_mb(photos: list[Path], network: Path, folder: Path, files: int) -> float:
    """Peak memory of the command `features` over links to the photographs."""
    folder.mkdir()
    for number in range(files):
        photo = photos[number % len(photos)]
        (folder / f"{number:05}{photo.suffix}").symlink_to(photo)
    command = ["alexnet_jax.features", str(folder), "--workdir", str(network)]
    command += ["--output", str(folder.with_suffix(".npz"))]
    return measured(command).peak_mb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--files", type=int, nargs=2, default=(1_000, 10_000))
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    devices.request_cpu_devices(MeshConfig())
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        photos, network = (
            unpack(arguments.source, root / "photos"),
            root / "n.safetensors",
        )
        write_network(network)
        seconds = times(photos, network, arguments.rounds)
        memory = {
            str(files): peak_mb(photos, network, root / f"links{files}", files)
            for files in arguments.files
        }
    few, many = memory.values()
    result = {
        "images": IMAGES,
        "rounds": arguments.rounds,
        "seconds": seconds,
        "ratios": {n: s / seconds["step"] for n, s in seconds.items() if n != "step"},
        "peak_mb_by_files": memory,
        "memory_ratio": many / few,
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        facts = conditions("photographs.py") | result
        arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
