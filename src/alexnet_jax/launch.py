"""The command: python -m alexnet_jax.launch --processes 2 -- --workdir runs/

Runs a command in several processes of this machine, as one run.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Annotated

import tyro

from alexnet_jax import command
from alexnet_jax.errors import UserError
from alexnet_jax.ranges import Positive
from alexnet_jax.system import process_variables
from alexnet_jax.system.interruption import EXIT_RESUME, stop_signals

DESCRIPTION = """\
Runs a command in several processes of this machine, as one run. Options of that command
come after --. For several GPUs with one process each, or to try several processes out.

Each line of output begins with the process that it is from. Signals are handed on. If
one process fails, the others end too; the exit code is that of the first, or 75 if one
was killed and the others can resume."""

_SECONDS_TO_FOLLOW = 30  # for the others to end by themselves, once one has failed
_SECONDS_TO_STOP = 10  # after SIGTERM
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command."""

    processes: Positive[int] = 2
    """Number of processes. With GPUs, process i has GPU i."""
    module: str = "alexnet_jax.main"
    """alexnet_jax.main, alexnet_jax.evaluate or experiments.run."""
    arguments: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Those of the module, after --."""


MODULES = ("alexnet_jax.main", "alexnet_jax.evaluate", "experiments.run")


def run(options: Options) -> int:
    """Runs the processes to their end; returns the exit code.

    Raises:
        UserError: the module cannot be run in several processes.
    """
    if options.module not in MODULES:
        raise UserError(f"--module {options.module}: one of {', '.join(MODULES)}.")
    address = process_variables.free_address()
    processes: list[subprocess.Popen[bytes]] = []
    with _handed_on(processes):
        for index in range(options.processes):
            processes.append(_start(options, index, address))
        printers = [_print_with_index(*each) for each in enumerate(processes)]
        code = _wait(processes)
    for printer in printers:
        printer.join(timeout=5)
    return code


def _start(options: Options, index: int, address: str) -> subprocess.Popen[bytes]:
    environment = process_variables.of_process(index, options.processes, address)
    environment |= {"JAX_LOCAL_DEVICE_IDS": str(index), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", options.module, *options.arguments],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Ctrl-C in a terminal goes to its whole group; here it is handed on, once.
        start_new_session=True,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )


def _end_with_parent() -> None:
    """Asks Linux to send SIGTERM, which saves, when the launching process is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _print_with_index(index: int, process: subprocess.Popen[bytes]) -> threading.Thread:
    """Passes the lines of a process through, with its index before each."""

    def read(output: IO[bytes]) -> None:
        with output:
            for line in output:
                with contextlib.suppress(OSError):
                    os.write(1, f"[{index}] ".encode() + line)

    thread = threading.Thread(target=read, args=(process.stdout,), daemon=True)
    thread.start()
    return thread


@contextlib.contextmanager
def _handed_on(processes: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Hands signals on to the processes."""

    def hand_on(number: int, _: object) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    previous = {number: signal.signal(number, hand_on) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _wait(processes: list[subprocess.Popen[bytes]]) -> int:
    """Waits for all; ends the others some time after one has failed."""
    first, until = 0, float("inf")
    while any(process.poll() is None for process in processes):
        failed = [process.returncode for process in processes if process.returncode]
        if failed and not first:
            first, until = failed[0], time.monotonic() + _SECONDS_TO_FOLLOW
        if time.monotonic() > until:
            _stop(processes)
        time.sleep(0.1)
    codes = [process.returncode for process in processes if process.returncode]
    if EXIT_RESUME in codes and all(n == EXIT_RESUME or n < 0 for n in codes):
        return EXIT_RESUME  # the others of one that was killed
    code = first or next(iter(codes), 0)
    return code if code >= 0 else 128 - code


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    left = [process for process in processes if process.poll() is None]
    for process in left:
        process.terminate()
    until = time.monotonic() + _SECONDS_TO_STOP
    for process in left:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(until - time.monotonic(), 0))
        process.kill()


def main() -> int:
    """Returns the exit code: that of the process that ended first with an error."""
    options = command.parse(Options, "alexnet_jax.launch", DESCRIPTION)
    return command.run(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
