"""The record of a finished run: what it was, where it ran, what came out.

A record is small enough to be kept beside the code, and holds no path or host name.
"""

import datetime
import re
import shlex
from pathlib import Path
from typing import Any

from alexnet_jax import config_json
from alexnet_jax.config import Config
from alexnet_jax.errors import UserError
from alexnet_jax.presets import PRESETS
from alexnet_jax.system import atomic_files
from alexnet_jax.system.progress import error_text
from alexnet_jax.system.provenance import machine_in_words
from alexnet_jax.training import manifest, metrics_writer, workdir
from alexnet_jax.weights import hub

_POINTS = 100  # of the curve, at most
_ERRORS = ("loss", "top1_error", "top5_error", "examples")


def of_run(directory: Path, claim: str | None = None) -> dict[str, Any]:
    """The record of a run of `main`: `outcome`, after what was trained.

    Args:
        claim: name of the record; by default that of the preset and its changes.

    Raises:
        UserError: the directory holds no run, or one that was never evaluated.
    """
    config = workdir.read_config(directory)
    return {
        "claim": claim or _claim(config),
        "command": command(config),
        "dataset": config.data.name,
        "split": config.data.eval_split,
        "seed": config.seed,
        **outcome(directory),
    }


def outcome(directory: Path) -> dict[str, Any]:
    """What the files of a run say about its end and its machine.

    "result" is the last evaluation: centre view, errors as fractions. "curve" has at
    most 100 evaluations, evenly spaced, the last among them. "minutes" includes
    evaluations; it is null where a start was killed.

    Raises:
        UserError: the run was never evaluated.
    """
    evaluations = [
        record
        for record in metrics_writer.read_records(directory)
        if record["kind"] == "eval" and record.get("views", 1) == 1
    ]
    if not evaluations:
        raise UserError(f"{directory} has no evaluation yet: train at least one epoch.")
    last = evaluations[-1]
    return {
        "epochs": last["epoch"],
        "steps": last["step"],
        "result": {name: last[name] for name in _ERRORS if name in last},
        "minutes": minutes(directory),
        **place(directory),
        "curve": [
            {name: point[name] for name in ("epoch", "loss", "top1_error")}
            for point in thinned(evaluations)
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
    start = manifest.init_from(manifest.read(directory))
    if start:
        origin["start"] = start_in_words(start)
        of_it = start["origin"].items()
        origin["origin of the start"] = "; ".join(f"{k}: {v}" for k, v in of_it)
    for record in metrics_writer.read_records(directory):
        if record["kind"] == "eval" and record["step"] == step:
            origin["result"] = (
                f"{error_text(record)} (centre view, {record['examples']:,} images of "
                f"{config.data.name} {config.data.eval_split}, epoch "
                f"{record['epoch']:g})"
            )
    where = place(directory)
    if where:
        jax = (where["versions"] or {}).get("jax")
        origin["commit"] = str(where["commit"])
        origin["machine"] = (
            f"{machine_in_words(where)}, jax {jax}, Python {where['python']}"
        )
    return origin


def start_in_words(start: dict[str, Any]) -> str:
    """What a run has started from, in words; see `init_from.Provenance`."""
    new = [f"{name} is new ({why})" for name, why in start["new_layers"].items()]
    named = f"{start['file']}, sha256 {start['sha256'][:16]}"
    return "; ".join([named, *new, *start["differs"]])


def check_writable(path: Path) -> None:
    """Raises UserError if `write` could not write there, so before the work for it."""
    is_file = path.suffix == ".json"
    if path.is_file() and not is_file:
        raise UserError(f"--record {path}: name a file that ends in .json or a folder.")
    target = path if is_file or not path.is_dir() else path / "record.json"
    atomic_files.check_writable(target, "--record")


def write(path: Path, record: dict[str, Any]) -> None:
    """Writes a record to a file (.json), or to a folder under its own name."""
    if path.suffix != ".json":
        path.mkdir(exist_ok=True)
        path /= file_name(record["claim"], record["seed"])
    atomic_files.write_json(path, record)


def file_name(claim: str, seed: int) -> str:
    return re.sub(r"[^\w.]+", "-", f"{claim} seed{seed}") + ".json"


def command(config: Config) -> str:
    """The command that trains a configuration, but for its directories."""
    name, changes = nearest_preset(config)
    words = ["python", "-m", "alexnet_jax.main", "--preset", name]
    return shlex.join([*words, *_options(changes)])


def _options(changes: dict[str, Any]) -> list[str]:
    return [word for name, value in changes.items() for word in option(name, value)]


def option(name: str, value: Any) -> list[str]:
    """A field with its value as words of a command line."""
    *rooms, last = name.replace("_", "-").split(".")
    if isinstance(value, bool):
        return ["--" + ".".join([*rooms, last if value else f"no-{last}"])]
    return ["--" + ".".join([*rooms, last]), *_words(value)]


def _words(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [word for item in value for word in _words(item)]
    return [shown(value)]


def shown(value: Any) -> str:
    """A value as an option: 60, not 60.0."""
    short = f"{value:g}" if isinstance(value, float) else str(value)
    is_exact = not isinstance(value, float) or float(short) == value
    return short if is_exact else str(value)


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
    if fields["data.folder"]:
        fields["data.folder"] = Path(fields["data.folder"]).name
    if fields["init_from"]:
        is_address = hub.is_address(fields["init_from"])
        name = fields["init_from"] if is_address else Path(fields["init_from"]).name
        fields["init_from"] = name
    return {name: v for name, v in fields.items() if not name.startswith("run.")}


def _claim(config: Config) -> str:
    name, changes = nearest_preset(config)
    changes.pop("seed", None)
    return " ".join([name, *_options(changes)])


def thinned(points: list[Any]) -> list[Any]:
    """At most 100 of the points, evenly spaced, the last among them."""
    every = max(1, -(-len(points) // _POINTS))
    return points[::-every][::-1]


def place(directory: Path) -> dict[str, Any]:
    """Commit, versions and hardware of the last start; nothing if there is none."""
    kept = ("commit", "python", "versions", "processor", "cores", "xla_flags")
    kept += ("devices", "mesh")
    starts = manifest.read(directory)
    return {name: starts[-1].get(name) for name in kept} if starts else {}


def minutes(directory: Path) -> float | None:
    """Minutes of all starts together; None where one was killed."""
    total = 0.0
    for start in manifest.read(directory):
        if not (start.get("started") and start.get("ended")):
            return None
        began, ended = (
            datetime.datetime.fromisoformat(start[name])
            for name in ("started", "ended")
        )
        total += (ended - began).total_seconds() / 60
    return round(total, 1)
