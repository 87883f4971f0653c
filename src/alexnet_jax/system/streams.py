"""Output that may not be accepted any more, and text that must not steer a terminal."""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from typing import TextIO


def silence(stream: TextIO) -> None:
    """Discards everything that is written to a stream from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def printable(text: str) -> str:
    """The text with control characters and the like as escapes, such as \\x1b.

    So names of files and classes neither drive the terminal nor fail to print.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )


@contextlib.contextmanager
def outlived(stream: TextIO) -> Iterator[None]:
    """Goes on silently if the reader of a stream is gone, as in `main | head`.

    If its disk is full or its terminal is gone, the output is lost and one line on the
    standard error says so.
    """
    try:
        yield
    except BrokenPipeError:
        silence(stream)
    except OSError as error:
        _warn_once(error.strerror)


@functools.cache
def _warn_once(reason: str) -> None:
    with contextlib.suppress(OSError):
        print(
            f"warning: output cannot be written ({reason}); the work continues",
            file=sys.stderr,
            flush=True,
        )


def print_line(text: str, stream: TextIO) -> None:
    """Prints a line and flushes; the work outlives the stream."""
    with outlived(stream):
        print(text, file=stream, flush=True)
