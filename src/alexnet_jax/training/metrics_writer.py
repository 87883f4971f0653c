"""Writes metrics as JSON lines and for TensorBoard.

Records are flat dictionaries with "kind" ("train" or "eval"), "step" and "epoch";
errors are fractions. `metrics.jsonl` is the record of a run; TensorBoard event files
are for viewing.
"""

import contextlib
import errno
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from alexnet_jax.errors import Fault
from alexnet_jax.system import atomic_files

FILE = "metrics.jsonl"

Record = dict[str, Any]


class MetricsWriter:
    """Appends records to `metrics.jsonl` and to a TensorBoard event file."""

    def __init__(
        self, directory: Path, *, resume_step: int, evaluated: bool = True
    ) -> None:
        """Opens the files of a run that continues after `resume_step` steps.

        Drops the records of later steps, which will be written again, and lines that
        are incomplete because the run was killed.

        Args:
            evaluated: True if the evaluation after `resume_step` is done; if False, its
                record is dropped too.
        """
        path = directory / FILE
        last = _keep_until(path, resume_step, evaluated) if path.exists() else 0
        if last < resume_step:
            print(
                f"warning: {path} ends at step {last}, and the checkpoint is of step "
                f"{resume_step}: the records between are lost",
                file=sys.stderr,
                flush=True,
            )
        # Unbuffered: when `write` returns, the record is in the file.
        self._lines = path.open("ab", buffering=0)
        atomic_files.sync(directory)  # the name of a new file
        self._events = EventFile(directory / "tensorboard", first_step=resume_step + 1)

    def write(self, record: Record) -> None:
        """Writes a record; NaN and infinity become null, since JSON lacks them.

        Raises:
            Fault: the disk is full or the file can't be written for another reason.
        """
        self._append(json.dumps(_finite(record), allow_nan=False).encode() + b"\n")
        self._events.write(record)

    def _append(self, line: bytes) -> None:
        """Appends the whole line or nothing."""
        end = self._lines.seek(0, os.SEEK_END)
        try:
            if self._lines.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            with contextlib.suppress(OSError):
                self._lines.truncate(end)
            raise self._fault(error) from error

    def sync(self) -> None:
        """Waits until all records are on disk.

        Raises:
            Fault: the disk fails.
        """
        try:
            os.fsync(self._lines.fileno())
        except OSError as error:
            raise self._fault(error) from error

    def _fault(self, error: OSError) -> Fault:
        return Fault(
            f"{self._lines.name} cannot be written ({error.strerror}): free some space "
            "and run the same command again."
        )

    def close(self) -> None:
        self._lines.close()
        self._events.close()


class NoMetrics:
    """In place of a MetricsWriter, in a process that writes nothing."""

    def write(self, record: Record) -> None:
        pass

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass


def _finite(record: Record) -> Record:
    return {
        name: None if isinstance(v, float) and not math.isfinite(v) else v
        for name, v in record.items()
    }


def read_records(directory: Path) -> list[Record]:
    """The records in a run directory; none if it has no `metrics.jsonl`.

    Incomplete lines are left out: a run in progress may be writing its last one.
    """
    path = directory / FILE
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [record for line in lines if (record := _parsed(line)) is not None]


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
        is_whole = isinstance(record["step"], int) and isinstance(record["kind"], str)
        return record if is_whole else None
    except (ValueError, KeyError, TypeError):
        return None


def _keep_until(path: Path, step: int, evaluated: bool) -> int:
    """Drops later and damaged lines; leaves the file alone if there are none.

    Returns:
        The step of the last line that is left; 0 if there is none.
    """
    content = path.read_bytes()
    lines = [(_parsed(line), line) for line in content.splitlines()]
    if torn := sum(record is None for record, _ in lines):
        print(f"note: {path}: {torn} incomplete lines removed", file=sys.stderr)
    last, kept = 0, b""
    for record, line in lines:
        # Steps are compared first; at one step a training record comes first.
        if record and (record["step"], record["kind"] == "eval") <= (step, evaluated):
            last, kept = record["step"], kept + line + b"\n"
    if kept != content:
        atomic_files.write_bytes(path, kept)
    return last


_SECONDS_BETWEEN_FLUSHES = 10  # a flush waits for the disk


class EventFile:
    """A TensorBoard event file, for viewing; `metrics.jsonl` is the record.

    If the disk fails, it prints one warning and writes no more. Events are written in
    the calling thread: if tensorboardX's own thread died of a full disk, its queue
    would fill up and block the run forever.
    """

    def __init__(self, directory: Path, *, first_step: int) -> None:
        """TensorBoard discards the values of older files from `first_step` on."""
        from tensorboardX.event_file_writer import EventsWriter  # slow to import
        from tensorboardX.proto import event_pb2

        proto: Any = event_pb2  # its classes are created at run time
        self._event = proto.Event
        self._flushed = 0.0
        self._file: Any = None
        with self._warned():
            directory.mkdir(exist_ok=True)
            # With the process id: two starts in one second would get the same name.
            self._file = EventsWriter(str(directory / "events"), f".{os.getpid()}")
        start = proto.SessionLog(status=proto.SessionLog.START)
        self._write(step=first_step, session_log=start)

    def write(self, record: dict[str, Any]) -> None:
        """Writes the numbers of a record as "kind/name"."""
        values = [
            {"tag": f"{record['kind']}/{name}", "simple_value": value}
            for name, value in record.items()
            if name not in ("kind", "step")
        ]
        self._write(step=record["step"], summary={"value": values})

    def _write(self, **fields: Any) -> None:
        if self._file is None:
            return
        with self._warned():
            self._file.write_event(self._event(wall_time=time.time(), **fields))
            if time.monotonic() - self._flushed > _SECONDS_BETWEEN_FLUSHES:
                self._file.flush()
                self._flushed = time.monotonic()

    @contextlib.contextmanager
    def _warned(self) -> Any:
        try:
            yield
        except OSError as error:
            print(
                f"warning: TensorBoard logging stopped ({error.strerror})",
                file=sys.stderr,
                flush=True,
            )
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                if file is not None:
                    file.close()

    def close(self) -> None:
        with self._warned():
            if self._file is not None:
                self._file.close()
                self._file = None
