"""Outputs whose reader may leave, as in `main | head`."""

import os
from typing import TextIO


def silence(stream: TextIO) -> None:
    """Sends what is still written to a stream nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def print_line(text: str, stream: TextIO) -> None:
    """Prints a line at once. If the reader has left, the work goes on in silence."""
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        silence(stream)
