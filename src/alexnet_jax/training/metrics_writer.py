"""Where numbers go: JSON lines and TensorBoard.

Records are flat dictionaries with "kind" ("train" or "eval"), "step" and "epoch";
errors are fractions. One file, `metrics.jsonl`, is the record of a run; TensorBoard's
event files are for viewing.
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

Record = dict[str, Any]


class MetricsWriter:
    """Appends records to `metrics.jsonl` and to TensorBoard's event files."""

    def __init__(
        self, directory: Path, *, resume_step: int, evaluated: bool = True
    ) -> None:
        """Opens the files of a run that goes on after `resume_step` steps.

        Records of later steps, which will come again, and lines torn by a kill are
        dropped.

        Args:
            evaluated: whether the evaluation after these steps is done; else its record
                will come again too.
        """
        path = directory / "metrics.jsonl"
        if path.exists():
            _keep_until(path, resume_step, evaluated)
        # Without a buffer: a record is in the file, or it is not.
        self._lines = path.open("ab", buffering=0)
        self._events = EventFile(directory / "tensorboard", first_step=resume_step + 1)

    def write(self, record: Record) -> None:
        """Writes a record; NaN and infinity become null, which JSON has not.

        Raises:
            Fault: the disk is full, or can't be written for another reason.
        """
        self._append(json.dumps(_finite(record), allow_nan=False).encode() + b"\n")
        self._events.write(record)

    def _append(self, line: bytes) -> None:
        """The whole line or nothing."""
        end = self._lines.seek(0, os.SEEK_END)
        try:
            if self._lines.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            with contextlib.suppress(OSError):
                self._lines.truncate(end)
            raise Fault(
                f"{self._lines.name} cannot be written ({error.strerror}): make room, "
                "and start the same command again."
            ) from error

    def close(self) -> None:
        self._lines.close()
        self._events.close()


def _finite(record: Record) -> Record:
    return {
        name: None if isinstance(v, float) and not math.isfinite(v) else v
        for name, v in record.items()
    }


def _keep_until(path: Path, step: int, evaluated: bool) -> None:
    """Replaces the file as a whole, and not at all where all of it stays."""
    content = path.read_bytes()
    lines = content.splitlines()
    kept = b"".join(line + b"\n" for line in lines if _is_until(line, step, evaluated))
    if kept != content:
        with atomic_files.replacing(path) as partial:
            partial.write_bytes(kept)


def _is_until(line: bytes, step: int, evaluated: bool) -> bool:
    try:
        record = json.loads(line)
        is_evaluation = record["kind"] == "eval"
        return (record["step"], is_evaluation) <= (step, evaluated)
    except (ValueError, KeyError, TypeError):
        return False


_SECONDS_BETWEEN_FLUSHES = 10  # each waits for the disk


class EventFile:
    """A new TensorBoard event file, for viewing; a disk that fails ends it with one
    warning.

    Written in the thread that has the numbers: tensorboardX's own thread, if it died of
    a full disk, would leave a queue behind that fills up and then holds the run for
    ever.
    """

    def __init__(self, directory: Path, *, first_step: int) -> None:
        """TensorBoard forgets what older files say of `first_step` and later."""
        from tensorboardX.event_file_writer import EventsWriter  # slow to import
        from tensorboardX.proto import event_pb2

        proto: Any = event_pb2  # its classes are made at run time
        self._event = proto.Event
        self._flushed = 0.0
        self._file: Any = None
        with self._warned():
            directory.mkdir(exist_ok=True)
            # The process, since two starts in one second would get the same name.
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
                f"warning: no more numbers for TensorBoard ({error.strerror})",
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
