"""Stopping on request: the first Ctrl-C or SIGTERM saves, the second quits at once."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

EXIT_RESUME = 75
"""Exit code of a run that was stopped and saved (EX_TEMPFAIL): start it again."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """The run was asked to stop and has saved its state; the same command resumes."""


class Interruption:
    """A context in which SIGINT and SIGTERM ask to stop instead of stopping.

    Signals reach the main thread only; in another thread, where a notebook may run a
    job, this context changes nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._previous = {s: signal.signal(s, self._ask) for s in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for name, handler in self._previous.items():
            signal.signal(name, handler)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.requested:
            os._exit(128 + number)
        self.requested = True
        # os.write: print is not safe in a signal handler that may interrupt a print.
        message = "\nstopping: the step is finished and saved; again to quit at once\n"
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, message.encode())
