"""Jobs on a machine that does other things as well: three busy processes beside each.

XLA aborts a process on virtual CPU devices when its threads are blocked for 40 seconds;
an aborted or a hanging job is lost. Needs CIFAR-10 (ALEXNET_JAX_TEST_DATA).
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.campaigns import jobs, tries
from tests.campaigns.jobs import Main, Place
from tests.campaigns.tries import Row, Try

_BUSY_PROCESSES = 3
_NUM_IMAGES = 500
_PATIENCE = 1200  # seconds; a stuck job is aborted after 40


@contextlib.contextmanager
def _load() -> Iterator[None]:
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command) for _ in range(_BUSY_PROCESSES)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def busy(place: Place, wanted: int) -> list[Row]:
    """The main job, and a third as often each of evaluate, predict and features.

    It takes hours, so it resumes: each outcome is written to `--out` as it comes.
    """
    from alexnet_jax import evaluate, features, main, predict

    folder = place.out.resolve() / "busy"
    photos = _write_images(folder / "photos")
    data = Path(os.environ["ALEXNET_JAX_TEST_DATA"]) / "tfds"
    train = ("--preset", "cifar10", "--data.data-dir", data, "--num-epochs", 3)
    part = ("--data.train-split", "train[:1280]", "--workdir")
    look = ("--workdir", folder / "run0")
    layers = ("--layers", "fc7", "--output")
    some = range(0, wanted, 3)
    commands: dict[str, tuple[Main, list[tuple[Any, ...]]]] = {
        "main, 3 epochs of CIFAR-10": (
            main.main,
            [(*train, *part, folder / f"run{n}") for n in range(wanted)],
        ),
        "evaluate --views 10": (evaluate.main, [(*look, "--views", 10) for _ in some]),
        f"predict, {_NUM_IMAGES} images": (
            predict.main,
            [(*look, photos) for _ in some],
        ),
        f"features, {_NUM_IMAGES} images": (
            features.main,
            [(*look, *layers, folder / f"{n}.npz", photos) for n in some],
        ),
    }
    with _load():
        return [
            _count(folder, name, command, runs)
            for name, (command, runs) in commands.items()
        ]


def _count(folder: Path, name: str, main: Main, runs: list[tuple[Any, ...]]) -> Row:
    """Runs a command again and again; one that ends with 0 in time survives."""
    began = time.monotonic()
    path = folder / "outcomes.json"
    outcomes = json.loads(path.read_text()) if path.exists() else {}
    done = outcomes.setdefault(name, [])
    for arguments in runs[len(done) :]:
        done.append(_outcome(main, arguments, folder / "said"))
        path.write_text(json.dumps(outcomes, indent=1) + "\n")
        print(f"{name}: {done[-1] or 'ok'}", flush=True)
    tried = [Try(True, [outcome] if outcome else []) for outcome in done]
    remark = f"{_BUSY_PROCESSES} busy processes beside it on {os.cpu_count()} cores"
    return tries.row_of(f"busy machine: {name}", tried, began, remark)


def _outcome(main: Main, arguments: tuple[Any, ...], output: Path) -> str:
    """Runs a command once; returns what went wrong, or nothing."""
    output.unlink(missing_ok=True)
    try:
        code, said = jobs.start(main, arguments, output).end(_PATIENCE)
    except TimeoutError:
        return "hung"
    return f"code {code}: {_reason(said)}" if code else ""


def _reason(said: str) -> str:
    found = re.search(r"Termination timeout.*?exceeded|error: .*", said)
    return found[0][:200] if found else said[-200:]


def _write_images(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for number in range(_NUM_IMAGES):
        pixels = generator.integers(0, 256, (40, 40, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:03}.png"), pixels)
    return folder
