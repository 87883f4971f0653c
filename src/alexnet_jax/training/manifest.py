"""The history of a run: `manifest.json`, a list of its starts, oldest first.

Each start has command, commit, versions, machine, devices and mesh; the network whose
parameters the run began with (null if its own); the step it began from, the last step
it saved, and how it ended (null if it was killed). Nothing is ever removed. From the
saved steps a later start knows that checkpoints are missing.
"""

import contextlib
import datetime
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files, provenance
from alexnet_jax.training import metrics_writer

FILE = "manifest.json"


class History:
    """The starts of a run. As a context manager it records how the last one ended."""

    saved_step: int
    """The last step known to have been saved, since the run last started over."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._starts, self._begun = read(directory), False
        self.saved_step = _last_saved(self._starts)
        if not self._starts:  # the manifest is lost, or nothing was ever written
            records = metrics_writer.read_records(directory)
            self.saved_step = max((record["step"] for record in records), default=0)

    def __enter__(self) -> "History":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._begun:
            ended = "complete" if error is None else str(error) or type(error).__name__
            with contextlib.suppress(OSError):  # the error itself matters more
                self._update(ended=_now(), outcome=ended)

    def start_over(self) -> None:
        """Forgets what was saved: the files have been set aside on purpose."""
        self.saved_step = 0

    @property
    def init_from(self) -> dict[str, Any] | None:
        """What the run has started from; see `training.init_from`."""
        return init_from(self._starts)

    def begin(
        self,
        devices: Iterable[Any],
        mesh: dict[str, int],
        first_step: int,
        init_from: dict[str, Any] | None = None,
    ) -> None:
        """Appends a start that continues after `first_step` steps.

        Args:
            devices: those of JAX.
            init_from: see `training.init_from`.
        """
        start = {
            "started": _now(),
            "command": sys.argv,
            **provenance.software(),
            **provenance.machine(),
            "devices": [f"{d.platform} {d.device_kind}" for d in devices],
            "mesh": mesh,
            "first_step": first_step,
            "starts_over": first_step == 0,
            "init_from": init_from,
            "saved_step": first_step,
            "ended": None,
            "outcome": None,
        }
        self._starts.append(start)
        self._begun = True
        self._update()

    def saved(self, step: int) -> None:
        """Records that a checkpoint is complete and on disk."""
        self.saved_step = step
        self._update(saved_step=step)

    def _update(self, **fields: Any) -> None:
        self._starts[-1].update(fields)
        atomic_files.write_json(self._path, self._starts)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def read(directory: Path) -> list[dict[str, Any]]:
    """The starts so far, oldest first; an older version stored only the last one.

    Raises:
        UserError: the file is damaged.
    """
    path = directory / FILE
    if not path.exists():
        return []
    content = atomic_files.read_json(path)
    starts = [content] if isinstance(content, dict) else content
    if not isinstance(starts, list) or not all(isinstance(s, dict) for s in starts):
        raise UserError(f"{path} is not a list of starts: move it away.")
    return starts


def init_from(starts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The network that a run has started from, by its last start that names one."""
    named = [start["init_from"] for start in starts if start.get("init_from")]
    return named[-1] if named else None


def _last_saved(starts: list[dict[str, Any]]) -> int:
    last = 0
    for start in starts:
        saved = start.get("saved_step")
        last = 0 if start.get("starts_over") else last
        last = max(last, saved) if isinstance(saved, int) else last
    return last
