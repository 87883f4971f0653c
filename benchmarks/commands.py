"""Commands of the package in processes of their own: time and peak memory."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple


class Ended(NamedTuple):
    """A command that has ended."""

    seconds: float
    peak_mb: float
    """Largest resident memory."""
    output: str
    first_step: float | None
    """Seconds from the start of the command to its first line on a step."""


def measured(command: list[str], kill_when: Callable[[], bool] | None = None) -> Ended:
    """Runs a module with its arguments; kills it when it is time to, if ever.

    Raises:
        SystemExit: it failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if kill_when is not None:
        while not kill_when() and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    assert process.stdout is not None
    output, first_step = "", None
    for line in process.stdout:
        output += line
        if line.startswith("step ") and first_step is None:
            first_step = round(time.perf_counter() - began, 1)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and kill_when is None:
        raise SystemExit(f"error: {' '.join(command)} failed:\n{output}")
    seconds = time.perf_counter() - began
    return Ended(round(seconds, 1), round(usage.ru_maxrss / 1024), output, first_step)
