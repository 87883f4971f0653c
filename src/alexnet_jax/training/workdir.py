"""The run directory: its configuration and its provenance.

A run directory holds `config.json`, `manifest.json`, `metrics.jsonl`, `tensorboard/`,
`checkpoints/` and `statistics.npz`. The same command with the same directory resumes; a
different configuration is refused, and the message lists the fields that differ.
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
    """Creates the directory if needed, locks it and writes the configuration.

    Returns:
        The lock, which holds for as long as it is referenced.

    Raises:
        UserError: the directory cannot be written, another process is using it, or it
            holds another configuration.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / f".write-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"--workdir {workdir} cannot be written ({error.strerror}): choose a "
            "writable directory."
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
    """The fields that determine the result, by dotted name.

    The length of a run is left out if the schedule does not depend on it, so that a
    finished run can be extended. How the images are stored is left out too, so that a
    run that stopped at a damaged image can continue without it.
    """
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
        raise UserError(f"{workdir} holds no run: {path} does not exist.")
    return config_json.build_config(atomic_files.read_json(path), path)


def write_manifest(workdir: Path, devices: list[str], mesh: dict[str, int]) -> None:
    """Records command, commit, versions and devices of this start of the run."""
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
    """The commit of the source, with "+" if modified; None outside git."""
    source = Path(__file__).parent
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        result = subprocess.run(command, cwd=source, capture_output=True, text=True)
    except OSError:
        return None
    return result.stdout.strip() or None
