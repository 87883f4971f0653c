"""The run directory: which configuration it belongs to and where it came from.

A run directory holds `config.json`, `manifest.json`, `metrics.jsonl`, `tensorboard/`,
`checkpoints/` and `statistics.npz`. The same command in the same directory resumes; a
different configuration is refused, with the fields that differ.
"""

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from alexnet_jax import config_json
from alexnet_jax.config import Config
from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files, crash_report
from alexnet_jax.system.lock import Lock

_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "tensorflow-datasets",
)


def open_workdir(workdir: Path, config: Config) -> Lock:
    """Makes the directory the home of this configuration, and of this process.

    Returns:
        The lock, which holds as long as it is there.

    Raises:
        UserError: it cannot be written, another process works on it, or it holds
            another configuration.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / f".write-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"--workdir {workdir} cannot be written ({error.strerror}): choose a "
            "directory that you may write to."
        ) from error
    lock = Lock(workdir)
    if lock.died:
        _say_how_it_ended(workdir, lock.died)
    path = workdir / "config.json"
    if path.exists():
        _refuse_other(
            workdir, config_json.completed(atomic_files.read_json(path)), config
        )
    atomic_files.write_json(path, dataclasses.asdict(config))
    return lock


def _say_how_it_ended(workdir: Path, died: str) -> None:
    number = died.split()[1] if died.startswith("process ") else ""
    why = crash_report.cause(workdir, int(number) if number.isdecimal() else 0)
    print(
        f"note: {died} did not finish in {workdir}: {why}. "
        "This run continues from the newest checkpoint.",
        file=sys.stderr,
        flush=True,
    )


def _refuse_other(workdir: Path, old: dict[str, Any], config: Config) -> None:
    lines = config_json.differing_lines(
        _fields_that_matter(old), _fields_that_matter(config_json.to_json(config))
    )
    if lines:
        raise UserError(
            f"--workdir {workdir} belongs to a run with another configuration:\n"
            + "\n".join(lines)
            + "\nUse another --workdir, or the same options to resume."
        )


def _fields_that_matter(config: dict[str, Any]) -> dict[str, Any]:
    """Dotted fields that change the result. Not the length of a run whose schedule does
    not depend on it: that is how a finished run goes on. Not the way to the same
    images, so that a run that ended at a damaged one can go on without it."""
    fields = config_json.flatten(config)
    if fields.get("optimizer.schedule") not in ("cosine", "levels"):
        fields.pop("num_epochs", None)
    for how in ("data_dir", "stored", "damaged"):
        fields.pop(f"data.{how}", None)
    return {name: v for name, v in fields.items() if not name.startswith("run.")}


def read_config(workdir: Path) -> Config:
    """The configuration of a run.

    Raises:
        UserError: the directory holds no run, or one of another version.
    """
    path = workdir / "config.json"
    if not path.exists():
        raise UserError(f"{workdir} holds no run: {path} is not there.")
    return config_json.build_config(atomic_files.read_json(path), path)


def write_manifest(workdir: Path, devices: list[str], mesh: dict[str, int]) -> None:
    """Notes command, code, versions and devices of this start of the run."""
    manifest = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "devices": devices,
        "mesh": mesh,
    }
    atomic_files.write_json(workdir / "manifest.json", manifest)


def _commit() -> str | None:
    """The commit of the source, "+" if it was changed since; none outside git."""
    source = Path(__file__).parent
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        result = subprocess.run(command, cwd=source, capture_output=True, text=True)
    except OSError:
        return None
    return result.stdout.strip() or None
