"""Stopping on request: the first Ctrl-C or signal saves, the second quits at once."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any

EXIT_RESUME = 75
"""Exit code of a run that was stopped and saved (EX_TEMPFAIL): start it again."""

# Also that of a closed terminal, and the one that batch systems send before the end.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_SAVING = "\nstopping: finishing and saving this step; again to quit at once\n"
_NOTHING = "nothing to save"


def stop_signals() -> list[signal.Signals]:
    """The signals that ask for a stop; without SIGHUP under nohup, which ignores it."""
    under_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [n for n in _SIGNALS if n != signal.SIGHUP or not under_nohup]


class Interrupted(Exception):
    """The run was asked to stop and has saved its state; the same command resumes."""


class Interruption:
    """A context in which a signal requests a stop instead of forcing one: SIGINT,
    SIGTERM, SIGUSR1 and SIGHUP, unless nohup has the last one ignored.

    While `has_state` is false there is nothing to save, and the first signal stops the
    job immediately. Signals reach only the main thread; in any other thread, where a
    notebook may run a job, this context changes nothing.
    """

    def __init__(
        self, max_minutes: float | None = None, *, owns_process: bool = False
    ) -> None:
        """Requests a stop on a signal or `max_minutes` from now.

        Args:
            max_minutes: None means no time limit.
            owns_process: True to end the process where it must stop at once, even
                during a long compilation; False to raise an exception instead.
        """
        self.has_state = False
        self._max_minutes = max_minutes
        self._began = time.monotonic()
        self._owns_process = owns_process
        self._signalled = False
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """True if the run should save and stop after this step."""
        return self._signalled or self._is_over

    @property
    def reason(self) -> str:
        if self._signalled:
            return "stopped"
        return f"--run.max-minutes {self._max_minutes:g} reached: stopped"

    @property
    def _is_over(self) -> bool:
        minutes = (time.monotonic() - self._began) / 60
        return self._max_minutes is not None and minutes > self._max_minutes

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._ask) for number in stop_signals()
            }
            if self._owns_process:
                self._start_watch()
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous and self._owns_process:
            signal.set_wakeup_fd(-1)
            self._wake.close()  # ends the thread
        for name, handler in self._previous.items():
            signal.signal(name, handler)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        """Runs in the main thread, once Python gets control back from C code."""
        if self._owns_process:
            self._signalled = True
        elif not self.has_state:
            raise Interrupted(f"stopped: {_NOTHING}")
        elif self._signalled:
            raise KeyboardInterrupt
        else:
            self._note()

    def _start_watch(self) -> None:
        received, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())
        threading.Thread(
            target=self._watch, args=(received,), name="signals", daemon=True
        ).start()

    def _watch(self, received: socket.socket) -> None:
        """Receives each signal as one byte, its number.

        The wakeup socket delivers it at once, while a Python handler has to wait for
        XLA, for instance until a compilation ends.
        """
        is_first = True
        with received:
            while number := received.recv(1):
                if not self.has_state:
                    _say(f"\nstopped: {_NOTHING}; the same command resumes\n")
                    os._exit(EXIT_RESUME)
                if not is_first:
                    os._exit(128 + number[0])
                self._note()
                is_first = False

    def _note(self) -> None:
        self._signalled = True
        _say(_SAVING)


def _say(message: str) -> None:
    # os.write: print is not safe in a signal handler that may interrupt a print.
    with contextlib.suppress(OSError):  # the terminal may be gone
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, message.encode())
