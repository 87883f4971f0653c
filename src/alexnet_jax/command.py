"""Shared by all commands: options, messages, exit codes.

| code | meaning |
|---|---|
| 0 | done, or the reader of the output has closed it |
| 1 | fault: disk, memory, damaged data, divergence |
| 2 | mistake in the command, or the directory is in use by another process |
| 75 | stopped and saved: the same command resumes |
| 130 | stopped by Ctrl-C or SIGTERM; no file is left half-written |
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import tyro

from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import DamagedRecord, Fault, UserError
from alexnet_jax.system import peers
from alexnet_jax.system.interruption import EXIT_RESUME, Interrupted
from alexnet_jax.system.peer_links import Elsewhere
from alexnet_jax.system.streams import printable, silence

DONE, FAULT, MISTAKE, STOPPED = 0, 1, 2, 130
RESUMES = "the same command resumes from there"
_NOTHING = "no file is left half-written"

T = TypeVar("T")


def parse(options: type[T], name: str, description: str) -> T:
    """Parses the options of a command; exits with a message and code 2 on a mistake.

    Args:
        name: of the module, such as "alexnet_jax.evaluate".
    """
    refuse_empty_values(sys.argv[1:])
    with reader_may_leave():
        return tyro.cli(options, prog=f"python -m {name}", description=description)


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Exits with code 0 if the reader of the output has left, as in `--help | head`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        sys.exit(DONE)


def refuse_empty_values(arguments: list[str]) -> None:
    """Exits with code 2 if a value is empty, as that of an unset shell variable. As a
    path it would mean the current directory."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name = argument.partition("=")[0]
        if not argument or (name.startswith("--") and argument == f"{name}="):
            named = name or before or "an argument"
            print(f"error: {named} has an empty value", file=sys.stderr)
            sys.exit(MISTAKE)


def refuse_other_names(arguments: list[str], instead: Mapping[str, str]) -> None:
    """Exits with code 2 at an option of other programs, and says what to use here.

    Args:
        instead: by the name of the option, without dashes.
    """
    for argument in arguments:
        name = argument.partition("=")[0].removeprefix("--").replace("_", "-")
        if argument.startswith("--") and name in instead:
            print(f"error: no --{name} here: use {instead[name]}", file=sys.stderr)
            sys.exit(MISTAKE)


def results_folder(out: Path | None, workdir: Path, name: str) -> Path:
    """--out, or else the folder `name` in a run directory or beside a weights file."""
    is_run = (workdir / "config.json").exists()
    return out or (workdir if is_run else workdir.parent) / name


def run(
    work: Callable[[], int | None],
    *,
    mesh: MeshConfig | None = None,
    processes: str = "off",
    stopped: str = _NOTHING,
) -> int:
    """Runs the work of a command and returns its exit code.

    Expected failures become one message, never a traceback.

    Args:
        work: prints its results; returns None or 0 when done, 1 for a fault.
        mesh: the virtual CPU devices to request. None means that the work uses no JAX,
            or requests them itself.
        processes: "off", or where the processes that share the work find each other;
            see `distributed.start`.
        stopped: a remark for the user on work that Ctrl-C or a fault cut short.
    """
    try:
        code = _exit_code(work, mesh, processes, stopped)
    except BaseException:
        peers.here().leave(FAULT)
        raise
    return peers.finish(code)


def _exit_code(
    work: Callable[[], int | None],
    mesh: MeshConfig | None,
    processes: str,
    stopped: str,
) -> int:
    with as_ctrl_c([signal.SIGTERM]):
        try:
            if mesh is not None:
                _prepare_jax(mesh, processes)
            code = work() or DONE
            sys.stdout.flush()
            return code
        except Elsewhere as error:
            return error.code  # the process that has failed says why
        except UserError as error:
            return _end(MISTAKE, f"error: {error}")
        except FloatingPointError as error:  # in all processes
            return _end(FAULT, f"error: {error}" if peers.here().is_first else "")
        except (DamagedRecord, Fault) as error:
            return _end(FAULT, f"error: {error}")
        except Interrupted as error:
            told = f"{error}; {RESUMES}" if peers.here().is_first else ""
            return _end(EXIT_RESUME, told)
        except KeyboardInterrupt:
            return _end(STOPPED, f"\nstopped; {stopped}")
        except BrokenPipeError:
            return _end(DONE)
        except OSError as error:
            notes = " ".join(["", *getattr(error, "__notes__", [])])
            return _end(FAULT, f"error: {error}; {stopped}{notes}")


def _end(code: int, message: str = "") -> int:
    """Prints the message, and silences streams that no longer accept output.

    Names inside a message may hold control characters; they are escaped.
    """
    message = "\n".join(map(printable, message.split("\n")))
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


def _prepare_jax(mesh: MeshConfig, processes: str) -> None:
    from alexnet_jax.system import compilation_cache, distributed  # imports JAX

    compilation_cache.use()
    distributed.start(mesh, processes)


@contextlib.contextmanager
def as_ctrl_c(signals: Iterable[signal.Signals]) -> Iterator[None]:
    """Makes these signals raise KeyboardInterrupt. Inside, training installs its own
    `Interruption`, which saves first."""
    # Python sets signal handlers only in the main thread.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {
        number: signal.signal(number, signal.default_int_handler) for number in signals
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
