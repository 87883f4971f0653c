"""The record of a finished run: what it was, where it ran, what came out.

A record is small enough to be kept beside the code, and holds no path or host name.
"""

import datetime
import shlex
from pathlib import Path
from typing import Any

from alexnet_jax import config_json
from alexnet_jax.config import Config
from alexnet_jax.errors import UserError
from alexnet_jax.presets import PRESETS
from alexnet_jax.system import atomic_files
from alexnet_jax.system.progress import error_text
from alexnet_jax.training import manifest, metrics_writer, workdir

_POINTS = 100  # of the curve, at most
_ERRORS = ("loss", "top1_error", "top5_error", "examples")


def of_run(directory: Path) -> dict[str, Any]:
    """The record of the run in a directory.

    "result" is the last evaluation: centre view, errors as fractions. "curve" has at
    most 100 evaluations, evenly spaced, the last among them. "minutes" includes
    evaluations; it is null where a start was killed.

    Raises:
        UserError: the directory holds no run, or one that was never evaluated.
    """
    config = workdir.read_config(directory)
    evaluations = [
        record
        for record in metrics_writer.read_records(directory)
        if record["kind"] == "eval"
    ]
    if not evaluations:
        raise UserError(f"{directory} has no evaluation yet: train at least one epoch.")
    last, starts = evaluations[-1], manifest.read(directory)
    return {
        "command": command(config),
        "dataset": config.data.name,
        "split": config.data.eval_split,
        "seed": config.seed,
        "epochs": last["epoch"],
        "steps": last["step"],
        "result": {name: last[name] for name in _ERRORS if name in last},
        "minutes": _minutes(starts),
        **_place(starts),
        "curve": [
            {name: point[name] for name in ("epoch", "loss", "top1_error")}
            for point in _thinned(evaluations)
        ],
    }


def provenance(directory: Path, step: int | None) -> dict[str, str]:
    """Where the network of a run directory comes from, in words, for a weights file.

    Args:
        step: of the checkpoint. Errors are given if it was evaluated.
    """
    config = workdir.read_config(directory)
    origin = {
        "format": "run directory of alexnet_jax",
        "command": command(config),
        "data": f"{config.data.name}, split {config.data.train_split}",
    }
    for record in metrics_writer.read_records(directory):
        if record["kind"] == "eval" and record["step"] == step:
            origin["result"] = (
                f"{error_text(record)} (centre view, {record['examples']:,} images of "
                f"{config.data.name} {config.data.eval_split}, epoch "
                f"{record['epoch']:g})"
            )
    place = _place(manifest.read(directory))
    if place:
        jax = (place["versions"] or {}).get("jax")
        origin["commit"] = str(place["commit"])
        origin["machine"] = (
            f"{place['processor']}, {place['cores']} cores, jax {jax}, Python "
            f"{place['python']}"
        )
    return origin


def write(path: Path, record: dict[str, Any]) -> None:
    atomic_files.write_json(path, record)


def command(config: Config) -> str:
    """The command that trains a configuration, but for its directories."""
    name, changes = nearest_preset(config)
    words = ["python", "-m", "alexnet_jax.main", "--preset", name]
    for field, value in changes.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{field.replace('_', '-')}", *map(shown, values)]
    return shlex.join(words)


def shown(value: Any) -> str:
    """A value as an option: 60, not 60.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def nearest_preset(config: Config) -> tuple[str, dict[str, Any]]:
    """The most similar preset, and the fields that differ from it with their values.

    How and where a run is made does not count.
    """
    flat = _without_place(config)
    changes = {
        name: config_json.differing(_without_place(known), flat)
        for name, known in PRESETS.items()
    }
    name = min(changes, key=lambda preset: len(changes[preset]))
    return name, {field: value for field, (_, value) in changes[name].items()}


def _without_place(config: Config) -> dict[str, Any]:
    fields = config_json.flatten(config_json.to_json(config))
    fields.pop("data.data_dir")
    return {name: v for name, v in fields.items() if not name.startswith("run.")}


def _thinned(points: list[Any]) -> list[Any]:
    every = -(-len(points) // _POINTS)
    return points[::-every][::-1]


def _place(starts: list[dict[str, Any]]) -> dict[str, Any]:
    """Commit, versions and hardware of the last start; nothing if there is none."""
    kept = ("commit", "python", "versions", "processor", "cores", "devices", "mesh")
    return {name: starts[-1].get(name) for name in kept} if starts else {}


def _minutes(starts: list[dict[str, Any]]) -> float | None:
    total = 0.0
    for start in starts:
        if not (start.get("started") and start.get("ended")):
            return None
        began, ended = (
            datetime.datetime.fromisoformat(start[name])
            for name in ("started", "ended")
        )
        total += (ended - began).total_seconds() / 60
    return round(total, 1)
