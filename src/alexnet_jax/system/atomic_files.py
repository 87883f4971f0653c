"""Files that are there as a whole or not at all, also after a power cut."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alexnet_jax.errors import UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well.

    The new file is on the disk before it gets its name, and the name before this
    returns. If the block fails, `path` is as it was and the temporary file is gone.
    """
    # The suffix stays, since writers such as numpy's look at it.
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        put(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def put(partial: Path, path: Path) -> None:
    """Gives a finished file its name; both are on the disk when this returns."""
    sync(partial)
    os.replace(partial, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """Raises UserError if the file is not JSON."""
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}): delete it.") from error
