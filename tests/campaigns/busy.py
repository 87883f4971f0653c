"""Jobs on a machine that does other things as well: three busy processes beside each.

XLA aborts a process on virtual CPU devices when its threads are blocked for 40 seconds;
an aborted or a hanging job is lost. Needs CIFAR-10 (ALEXNET_JAX_TEST_DATA).
"""

import contextlib
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
    """The main job, and a third as often each of evaluate, predict and features."""
    data = Path(os.environ["ALEXNET_JAX_TEST_DATA"]) / "tfds"
    workdir = place.folder / "run0"
    photos = _write_images(place.folder / "photos")
    fewer = -(-tries // 3)
    train = ("--preset", "cifar10", "--data.data-dir", data, "--num-epochs", 3)
    part = ("--data.train-split", "train[:1280]")
    look = ("--workdir", workdir)
    with _load():
        return [
            _count(
                "main, 3 epochs of CIFAR-10",
                "alexnet_jax.main",
                [(*train, *part, "--workdir", place.folder / f"run{n}")
                 for n in range(tries)],
            ),
            _count(
                "evaluate --views 10",
                "alexnet_jax.evaluate",
                [(*look, "--views", 10)] * fewer,
            ),
            _count(
                f"predict, {_NUM_IMAGES} images",
                "alexnet_jax.predict",
                [(*look, photos)] * fewer,
            ),
            _count(
                f"features, {_NUM_IMAGES} images",
                "alexnet_jax.features",
                [(*look, "--layers", "fc7", "--output", place.folder / f"f{n}.npz",
                  photos) for n in range(fewer)],
            ),
        ]  # fmt: skip


def _count(fault: str, module: str, runs: list[tuple[Any, ...]]) -> Row:
    """Runs a command again and again; one counts that ends with 0 in time."""
    complaints = []
    for arguments in runs:
        process = jobs.start(module, *arguments)
        try:
            code, said = jobs.finish(process, _PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            complaints.append("hung")
        else:
            if code:
                complaints.append(f"code {code}: {_reason(said)}")
        print(f"{fault}: {complaints[-1:] or 'ok'}", file=sys.stderr, flush=True)
    survived = len(runs) - len(complaints)
    return Row(f"busy machine: {fault}", len(runs), survived, "; ".join(complaints))


def _reason(said: str) -> str:
    found = re.search(r"Termination timeout.*?exceeded|error: .*", said)
    return found[0][:200] if found else said[-200:]


def _write_images(folder: Path) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(_NUM_IMAGES):
        pixels = generator.integers(0, 256, (40, 40, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:03}.png"), pixels)
    return folder
