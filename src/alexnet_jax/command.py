"""The shell of every command: options, messages, exit codes.

| code | meaning |
|---|---|
| 0 | done, or the reader of the output has left |
| 1 | a fault: disk, memory, damaged data, divergence |
| 2 | a mistake in the command, or a directory that another process uses |
| 75 | stopped and saved: the same command goes on |
| 130 | stopped by Ctrl-C or SIGTERM with nothing half-written |
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import tyro

from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import DamagedRecord, Fault, UserError
from alexnet_jax.system.interruption import EXIT_RESUME, Interrupted
from alexnet_jax.system.streams import silence

DONE, FAULT, MISTAKE, STOPPED = 0, 1, 2, 130
GOES_ON = "the same command goes on from there"
_NOTHING = "nothing is half-written"

T = TypeVar("T")


def parse(options: type[T], name: str, description: str) -> T:
    """Reads the options of a command; exits with a message and code 2 if one is wrong.

    Args:
        name: of the module, "alexnet_jax.evaluate".
    """
    return tyro.cli(options, prog=f"python -m {name}", description=description)


def run(
    work: Callable[[], int | None],
    *,
    mesh: MeshConfig | None = None,
    stopped: str = _NOTHING,
) -> int:
    """Does the work of a command; returns its exit code.

    Expected failures become one message, never a traceback.

    Args:
        work: prints its results; returns None or 0 for done, or 1.
        mesh: what the work needs of virtual CPU devices. None means it needs no JAX, or
            asks for them itself.
        stopped: what a user should know of work that Ctrl-C or a fault has cut short.
    """
    with _sigterm_as_ctrl_c():
        try:
            if mesh is not None:
                _request_devices(mesh)
            code = work() or DONE
            sys.stdout.flush()
            return code
        except UserError as error:
            return _end(MISTAKE, f"error: {error}")
        except (FloatingPointError, DamagedRecord, Fault) as error:
            return _end(FAULT, f"error: {error}")
        except Interrupted as error:
            return _end(EXIT_RESUME, f"{error}; {GOES_ON}")
        except KeyboardInterrupt:
            return _end(STOPPED, f"\nstopped; {stopped}")
        except BrokenPipeError:
            return _end(DONE)
        except OSError as error:
            return _end(FAULT, f"error: {error}; {stopped}")


def _end(code: int, message: str = "") -> int:
    """Says why, and keeps Python from writing to an output that does not take it."""
    for stream, text in (
        (sys.stdout, ""),
        (sys.stderr, f"{message}\n" * bool(message)),
    ):
        try:
            stream.write(text)
            stream.flush()
        except OSError:
            silence(stream)
    return code


def _request_devices(mesh: MeshConfig) -> None:
    from alexnet_jax.system import devices  # JAX is slow to import

    devices.request_cpu_devices(mesh)


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Training has an `Interruption` of its own inside, which saves first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
