"""Everything that one GPU tells about the network, in one command.

python -m benchmarks.accelerator --minutes 25 --out FOLDER

Parts, with the most valuable measurements of each first:

steps     images/s, compile time and memory of training and evaluation
torch     the same network in PyTorch, in turns with ours
roofline  the least time of each layer, and the achieved share
profile   the time of a step by kernel, category and layer
pipeline  images/s of the input pipeline while the device trains
epochs    90 epochs of ImageNet, computed from steps and pipeline

FOLDER gets PART.json, summary.md and log.txt, written after each measurement. Given
again, the command skips what has a result, errors included: to repeat a part, remove
its file. A measurement that does not fit into the time left is left out.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import accelerator_summary
from accelerator_parts import add_options
from conditions import conditions

from alexnet_jax.system import atomic_files

REPOSITORY = Path(__file__).parents[1]
PATIENCE = 5
"""Estimates after which a measurement is stopped, as an error."""


class Measurement(NamedTuple):
    """One process of one part."""

    part: str
    precision: str
    batch_size: int
    minutes: float
    """Estimated."""

    @property
    def key(self) -> str:
        return f"{self.precision} {self.batch_size}"

    @property
    def name(self) -> str:
        return f"{self.part} {self.key}"


# Estimated minutes of one measurement.
MINUTES = {"steps": 0.8, "torch": 1.5, "roofline": 0.8, "profile": 0.8, "pipeline": 1.2}
PRECISIONS = ("bfloat16", "tf32", "float32")


def plan(smoke: bool) -> list[Measurement]:
    """All measurements, the most valuable first: all parts in short, then the rest."""
    if smoke:
        rows = [("steps", "float32", 8), ("steps", "bfloat16", 8)]
        rows += [(part, "float32", 8) for part in MINUTES if part != "steps"]
    else:
        rows = [("steps", p, size) for size in (128, 1024) for p in PRECISIONS]
        rows += [("torch", "bfloat16", 128), ("torch", "bfloat16", 1024)]
        rows += [("torch", "float32", 128)]
        for part in ("roofline", "profile", "pipeline"):
            rows += [(part, "bfloat16", 128), (part, "bfloat16", 1024)]
        rows += [("steps", p, size) for size in (512, 2048, 256) for p in PRECISIONS]
        rows += [("torch", "tf32", 128), ("torch", "tf32", 1024)]
        rows += [("torch", "float32", 1024)]
        for part in ("roofline", "profile"):
            rows += [(part, "tf32", 1024), (part, "float32", 1024)]
    return [Measurement(part, p, size, MINUTES[part]) for part, p, size in rows]


class Results:
    """The JSON files of a folder, one per part: conditions, and rows by key."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def part(self, name: str) -> dict[str, Any]:
        file = self.folder / f"{name}.json"
        if file.exists():
            return atomic_files.read_json(file)
        return {"conditions": conditions("accelerator.py"), "rows": {}}

    def has(self, measurement: Measurement) -> bool:
        return measurement.key in self.part(measurement.part)["rows"]

    def add(self, part: str, key: str, row: dict[str, Any]) -> None:
        content = self.part(part)
        content["rows"][key] = row
        self.write(part, content)

    def write(self, part: str, content: dict[str, Any]) -> None:
        atomic_files.write_json(self.folder / f"{part}.json", content)

    def all(self) -> dict[str, dict[str, Any]]:
        """The rows of each part that has any."""
        rows = {part: self.part(part)["rows"] for part in MINUTES}
        return {part: found for part, found in rows.items() if found}


def measured(
    measurement: Measurement, arguments: argparse.Namespace, seconds: float
) -> dict[str, Any] | None:
    """The row of a measurement, made by another process; None if time ran out.

    Args:
        seconds: left of the whole time.
    """
    limit = 60 * PATIENCE * measurement.minutes
    file = arguments.out / "measurement.json"
    file.unlink(missing_ok=True)
    with (arguments.out / "log.txt").open("a") as log:
        print(f"== {measurement.name}", file=log, flush=True)
        try:
            code = subprocess.run(
                command(measurement, arguments, file),
                cwd=REPOSITORY,
                env=environment(),
                stdout=log,
                stderr=log,
                timeout=min(limit, seconds),
            ).returncode
        except subprocess.TimeoutExpired:
            too_long = f"it took longer than {limit:.0f} s"
            return {"error": too_long} if limit < seconds else None
    if not file.exists():
        return {"error": f"the process ended with code {code}; see log.txt"}
    row = atomic_files.read_json(file)
    file.unlink()
    return row


def command(
    measurement: Measurement, arguments: argparse.Namespace, file: Path
) -> list[str]:
    part, precision, batch_size, _ = measurement
    words = ["-m", "benchmarks.accelerator_parts", part, precision, str(batch_size)]
    words += ["--out", str(arguments.out.resolve()), "--json", str(file.resolve())]
    if arguments.source:
        words += ["--source", str(arguments.source.resolve())]
    if arguments.data_dir:
        words += ["--data-dir", str(arguments.data_dir.resolve())]
    return [sys.executable, *words, *["--smoke"] * arguments.smoke]


def environment() -> dict[str, str]:
    """JAX takes memory as it needs it, so that PyTorch finds some."""
    return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} | os.environ


def show(measurement: Measurement, row: dict[str, Any]) -> None:
    outcome = next((f"{k}: {row[k]}" for k in ("error", "skipped") if k in row), "done")
    print(f"{measurement.name:24} {row['wall_seconds']:6.0f} s  {outcome}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=25, help="of all, at most")
    add_options(parser)
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    results, left_out = Results(arguments.out), []
    for measurement in plan(arguments.smoke):
        if results.has(measurement):
            continue
        began = time.monotonic()
        row = None
        if began + 60 * measurement.minutes <= end:
            row = measured(measurement, arguments, end - began)
        if row is None:
            left_out.append(measurement.name)
        else:
            row["wall_seconds"] = time.monotonic() - began
            results.add(measurement.part, measurement.key, row)
            accelerator_summary.write(results, left_out)
            show(measurement, row)
    accelerator_summary.write(results, left_out)
    print(f"left out for lack of time: {', '.join(left_out) or 'nothing'}")


if __name__ == "__main__":
    main()
