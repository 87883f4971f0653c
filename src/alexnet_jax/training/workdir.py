"""The run directory: created, locked and checked; its configuration.

A run directory holds `config.json`, `manifest.json`, `metrics.jsonl`, `tensorboard/`,
`checkpoints/` and `statistics.npz`. The same command with the same directory resumes; a
different configuration is refused, and the message lists the fields that differ.
"""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from alexnet_jax import config_json
from alexnet_jax.config import Config
from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files, crash_report
from alexnet_jax.system.lock import Lock
from alexnet_jax.training import identity, manifest, metrics_writer

CONFIG = "config.json"
# What starting over sets aside; statistics depend on the data alone.
_OF_A_RUN = ("checkpoints", "replaced_checkpoint", metrics_writer.FILE, "tensorboard")


def open_workdir(workdir: Path, config: Any) -> Lock:
    """Creates the directory if needed and locks it. Nothing else is written.

    Args:
        config: a Config, or the dataclass of settings of another kind of run.

    Returns:
        The lock, which holds for as long as it is referenced.

    Raises:
        UserError: the directory cannot be written, holds other files, is in use by
            another process, or belongs to a run with another configuration.
    """
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir {workdir} is a file: name a directory.")
    _refuse_other_files(workdir)
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
    crash_report.remove_empty(workdir)
    path = workdir / CONFIG
    if path.exists():
        old, new = atomic_files.read_json(path), config_json.to_json(config)
        identity.refuse_other_config(old, new, f"--workdir {workdir}")
    return lock


def _refuse_other_files(workdir: Path) -> None:
    """Takes over no directory of unrelated files, such as a home directory. Directories
    of other runs, and hidden files, may be in it."""
    if any((workdir / name).exists() for name in (CONFIG, manifest.FILE, *_OF_A_RUN)):
        return
    entries = workdir.iterdir() if workdir.is_dir() else []
    unrelated = sorted(
        entry.name
        for entry in entries
        if not entry.name.startswith((".", crash_report.PREFIX))
        and not (entry / CONFIG).exists()
    )
    if unrelated:
        raise UserError(
            f"--workdir {workdir} holds other files, such as {unrelated[0]!a}: name a "
            "new or empty directory."
        )


def _say_how_it_ended(workdir: Path, died: str) -> None:
    why = crash_report.cause(workdir, died)
    print(
        f"note: {died} did not finish in {workdir}: {why}. "
        "This run continues from the newest checkpoint.",
        file=sys.stderr,
        flush=True,
    )


def write_config(workdir: Path, config: Any) -> None:
    atomic_files.write_json(workdir / CONFIG, dataclasses.asdict(config))


def read_config(workdir: Path) -> Config:
    """The configuration of a run.

    Raises:
        UserError: the directory holds no run, or one of another version.
    """
    path = workdir / CONFIG
    if not path.exists():
        raise UserError(f"{workdir} holds no run: {path} does not exist.")
    return config_json.build_config(atomic_files.read_json(path), path)


def set_aside(workdir: Path) -> None:
    """Moves checkpoints and records of a run into a new directory inside `workdir`."""
    number = 1
    while (place := workdir / f"before_start_over-{number}").exists():
        number += 1
    place.mkdir()
    for name in _OF_A_RUN:
        if (workdir / name).exists():
            os.rename(workdir / name, place / name)
    atomic_files.sync(workdir)
