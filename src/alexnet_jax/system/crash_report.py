"""Why a process ended without a message: aborted by XLA, killed or power lost."""

import contextlib
import faulthandler
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

PREFIX = "crash-"
_FIRST_WORDS = "Fatal Python error: "


@contextlib.contextmanager
def written_on_abort(directory: Path) -> Iterator[None]:
    """Writes the stacks of all threads to `crash-HOST-PROCESS.txt` on a fatal signal.

    XLA aborts the process (SIGABRT) when a collective is stuck. The file is removed if
    no signal arrives. Does nothing where faulthandler is already enabled (pytest,
    notebooks).
    """
    if faulthandler.is_enabled():
        yield
        return
    path = _path(directory, os.getpid(), socket.gethostname())
    with path.open("w") as file:
        faulthandler.enable(file)
        try:
            yield
        finally:
            faulthandler.disable()
    path.unlink(missing_ok=True)


def remove_empty(directory: Path) -> None:
    """Removes what processes left that were killed. Call this when none is running."""
    for path in directory.glob(f"{PREFIX}*.txt"):
        with contextlib.suppress(OSError):
            if path.stat().st_size == 0:
                path.unlink()


def cause(directory: Path, died: str) -> str:
    """Why a process ended without a message, as far as is known.

    Args:
        died: the process as a lock names it, "process 17 on HOST".
    """
    if named := re.fullmatch(r"process (\d+) on ([\w.-]+)", died):
        path = _path(directory, int(named[1]), named[2])
        with contextlib.suppress(OSError):
            first = path.read_text(errors="replace").partition("\n")[0]
            if first.startswith(_FIRST_WORDS):
                reason = first.removeprefix(_FIRST_WORDS)
                return f"it crashed ({reason}); the stacks of its threads are in {path}"
            path.unlink()
    return (
        "it was stopped at once or killed, has lost another process, or the machine "
        "went down"
    )


def _path(directory: Path, process: int, host: str) -> Path:
    """Processes on several machines may have the same number."""
    return directory / f"{PREFIX}{host}-{process}.txt"
