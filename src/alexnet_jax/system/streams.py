"""Output streams whose reader may go away, as in `main | head`."""

import os
from typing import TextIO


def silence(stream: TextIO) -> None:
    """Discards everything that is written to a stream from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def print_line(text: str, stream: TextIO) -> None:
    """Prints a line and flushes. If the reader is gone, the work continues silently."""
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        silence(stream)
