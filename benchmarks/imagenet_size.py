"""ImageNet's true size: preparing, opening, shuffling and training with 1.28 M images.

python -m benchmarks.imagenet_size --folder FOLDER [--json FILE]

Makes the two official archives with 1,281,167 and 50,000 small JPEGs (a few hundred
different ones), about 2 GB, and runs the commands on them that a user runs: `prepare`,
killed once and resumed; training for 100 steps, and again for 10 more; `evaluate`. Each
runs in a process of its own, whose time and peak memory are taken. What grows with the
number of images shows here; the size of the images does not matter for it.
"""

import argparse
import io
import json
import re
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from commands import measured
from conditions import conditions
from PIL import Image

from alexnet_jax.config import DataConfig
from alexnet_jax.data import ilsvrc2012, loader
from alexnet_jax.data.source import open_source
from alexnet_jax.preparation.imagenet_tars import TRAIN_TAR, VALIDATION_TAR

SIZE, BATCH, STEPS, MORE = 32, 128, 100, 10
NAME = f"imagenet2012_{SIZE}"
_SHARD = 5000  # images, of `prepare`
_DIFFERENT = 509  # images; a prime, so that classes have different ones


# --- archives -------------------------------------------------------------------------


def pictures() -> list[bytes]:
    """Small JPEGs of smooth colours."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(_DIFFERENT):
        colours = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        content = io.BytesIO()
        Image.fromarray(colours).resize((48, 40), Image.Resampling.BICUBIC).save(
            content, format="JPEG", quality=75
        )
        made.append(content.getvalue())
    return made


def write_archives(folder: Path, part: float) -> dict[str, int]:
    """Both official archives; returns the number of images in each.

    Args:
        part: of the images of each class, to try it out.
    """
    images = pictures()
    counts = {"train": 0, "validation": 0}
    with tarfile.open(folder / TRAIN_TAR, "w") as tar:
        for synset in ilsvrc2012.synsets():
            number = max(1, round(part * synset.num_train_images))
            names = (f"{synset.wnid}_{i}.JPEG" for i in range(number))
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as each:
                _add(each, names, images, counts["train"])
            _add(tar, iter([f"{synset.wnid}.tar"]), [inner.getvalue()])
            counts["train"] += number
    counts["validation"] = max(1, round(part * ilsvrc2012.VALIDATION_IMAGES))
    with tarfile.open(folder / VALIDATION_TAR, "w") as tar:
        numbers = range(1, counts["validation"] + 1)
        _add(tar, (f"ILSVRC2012_val_{n:08d}.JPEG" for n in numbers), images)
    return counts


def _add(
    tar: tarfile.TarFile, names: Iterator[str], contents: list[bytes], first: int = 0
) -> None:
    for number, name in enumerate(names, first):
        content = contents[number % len(contents)]
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


# --- what a user does -----------------------------------------------------------------


def prepare(folder: Path, images: int) -> dict[str, Any]:
    """Killed once, when half of the images are done, and resumed."""
    command = ["alexnet_jax.prepare", "--source", str(folder)]
    command += ["--data-dir", str(folder / "tfds"), "--image-size", str(SIZE)]
    half = images // _SHARD // 2

    def is_time() -> bool:
        return len(list((folder / "tfds").rglob("*.array_record*"))) > half

    killed = measured(command, kill_when=is_time)
    resumed = measured(command)
    seconds = killed.seconds + resumed.seconds
    return {
        "killed_after_seconds": killed.seconds,
        "seconds": seconds,
        "images_per_second": round(images / seconds),
        "peak_mb": max(killed.peak_mb, resumed.peak_mb),
    }


def open_and_shuffle(folder: Path) -> dict[str, float]:
    """Seconds to open the training split and to draw the order of an epoch."""
    data = DataConfig(name=NAME, data_dir=str(folder / "tfds"), image_size=SIZE)
    began = time.perf_counter()
    source = open_source(data, "train")
    opened = time.perf_counter()
    loader.batch_indices(0, 0, BATCH, source.num_examples)
    shuffled = time.perf_counter()
    return {
        "open_seconds": round(opened - began, 2),
        "shuffle_seconds": round(shuffled - opened, 2),
    }


def train(folder: Path, steps: int, images: int) -> dict[str, Any]:
    """The small network of cifar10 for all classes, until a step."""
    epochs = (steps - 0.5) * BATCH / images  # rounded up to whole steps
    command = ["alexnet_jax.main", "--preset", "cifar10"]
    command += ["--workdir", str(folder / "run"), "--data.name", NAME]
    command += ["--data.data-dir", str(folder / "tfds"), "--model.fc8.features", "1000"]
    command += ["--data.eval-split", "validation", "--num-epochs", repr(epochs)]
    command += ["--data.stored", "records", "--optimizer.schedule", "constant"]
    command += ["--run.log-every-steps", "1"]
    ended = measured(command)
    if not re.search(rf"trained for {steps} steps", ended.output):
        raise SystemExit(f"error: not {steps} steps:\n{ended.output}")
    return {
        "first_step_seconds": ended.first_step,
        "seconds": ended.seconds,
        "peak_mb": ended.peak_mb,
    }


def evaluate(folder: Path, images: int) -> dict[str, Any]:
    ended = measured(["alexnet_jax.evaluate", "--workdir", str(folder / "run")])
    if f"{images:,} images" not in ended.output:
        raise SystemExit(f"error: not {images:,} images:\n{ended.output}")
    return {
        "images": images,
        "seconds": ended.seconds,
        "peak_mb": ended.peak_mb,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="new; takes 6 GB")
    parser.add_argument("--part", type=float, default=1.0, help="of the images")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True)
    began = time.perf_counter()
    counts = write_archives(folder, arguments.part)
    found: dict[str, Any] = {"images": counts, "classes": 1000}
    found["archives_seconds"] = round(time.perf_counter() - began, 1)
    for name, part in (
        ("prepare", lambda: prepare(folder, sum(counts.values()))),
        ("source", lambda: open_and_shuffle(folder)),
        ("train", lambda: train(folder, STEPS, counts["train"])),
        ("resume", lambda: train(folder, STEPS + MORE, counts["train"])),
        ("evaluate", lambda: evaluate(folder, counts["validation"])),
    ):
        found[name] = part()
        print(f"{name}: {found[name]}", flush=True)
        if arguments.json:  # as it comes
            facts = conditions("imagenet_size.py") | found
            arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
