"""Output streams whose reader may go away, as in `main | head`."""

import os
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


def print_line(text: str, stream: TextIO) -> None:
    """Prints a line and flushes. If the reader is gone, the work continues silently."""
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        silence(stream)
