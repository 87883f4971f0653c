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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.campaigns import jobs
from tests.campaigns.jobs import Place, Row

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


def busy(place: Place, tries: int) -> list[Row]:
    """The main job, and a third as often each of evaluate, predict and features.

    It takes hours, so it resumes: each outcome is written to `--out` as it comes.
    """
    data = Path(os.environ["ALEXNET_JAX_TEST_DATA"]) / "tfds"
    folder = place.out.resolve() / "busy"
    photos = _write_images(folder / "photos")
    train = ("--preset", "cifar10", "--data.data-dir", data, "--num-epochs", 3)
    part = ("--data.train-split", "train[:1280]", "--workdir")
    look = ("--workdir", folder / "run0")
    features = ("--layers", "fc7", "--output")
    commands = {
        "main, 3 epochs of CIFAR-10": (
            "alexnet_jax.main",
            [(*train, *part, folder / f"run{n}") for n in range(tries)],
        ),
        "evaluate --views 10": (
            "alexnet_jax.evaluate",
            [(*look, "--views", 10) for _ in range(0, tries, 3)],
        ),
        f"predict, {_NUM_IMAGES} images": (
            "alexnet_jax.predict",
            [(*look, photos) for _ in range(0, tries, 3)],
        ),
        f"features, {_NUM_IMAGES} images": (
            "alexnet_jax.features",
            [
                (*look, *features, folder / f"{n}.npz", photos)
                for n in range(0, tries, 3)
            ],
        ),
    }
    with _load():
        return [
            _count(folder / "outcomes.json", name, module, runs)
            for name, (module, runs) in commands.items()
        ]


def _count(path: Path, name: str, module: str, runs: list[tuple[Any, ...]]) -> Row:
    """Runs a command again and again; one that ends with 0 in time survives."""
    outcomes = json.loads(path.read_text()) if path.exists() else {}
    done = outcomes.setdefault(name, [])
    for arguments in runs[len(done) :]:
        done.append(_outcome(module, arguments))
        path.write_text(json.dumps(outcomes, indent=1) + "\n")
        print(f"{name}: {done[-1] or 'ok'}", file=sys.stderr, flush=True)
    lost = [outcome for outcome in done if outcome]
    return Row(
        f"busy machine: {name}", len(done), len(done) - len(lost), "; ".join(lost)
    )


def _outcome(module: str, arguments: tuple[Any, ...]) -> str:
    """Runs a command once; returns what went wrong, or nothing."""
    process = jobs.start(module, *arguments)
    try:
        code, said = jobs.finish(process, _PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
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
