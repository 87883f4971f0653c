"""Numbers for TensorBoard: event files, which are for eyes only.

Written in the thread that has the numbers: tensorboardX's own thread, if it died of a
full disk, would leave a queue behind that fills up and then holds the run for ever.
"""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

_SECONDS_BETWEEN_FLUSHES = 10  # each waits for the disk


class EventFile:
    """A new event file of a run. A disk that fails ends it with one remark."""

    def __init__(self, directory: Path, *, first_step: int) -> None:
        """TensorBoard forgets what older files say of `first_step` and later."""
        from tensorboardX.event_file_writer import EventsWriter  # slow to import
        from tensorboardX.proto import event_pb2

        proto: Any = event_pb2  # its classes are made at run time
        self._event = proto.Event
        self._flushed = 0.0
        self._file: Any = None
        with self._remarked():
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
        with self._remarked():
            self._file.write_event(self._event(wall_time=time.time(), **fields))
            if time.monotonic() - self._flushed > _SECONDS_BETWEEN_FLUSHES:
                self._file.flush()
                self._flushed = time.monotonic()

    @contextlib.contextmanager
    def _remarked(self) -> Any:
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
        with self._remarked():
            if self._file is not None:
                self._file.close()
                self._file = None
