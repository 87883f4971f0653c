"""Atomic file writes: the whole file or nothing, even after a power cut."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alexnet_jax.errors import UserError


def check_writable(path: Path, option: str = "") -> None:
    """Raises UserError if no file can be written there, so before the work for it.

    Args:
        option: that named the path, for the message.
    """
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        why = "it is a directory"
        if not path.is_dir():
            why = "its folder does not exist or is not writable"
        raise UserError(f"{option} {path} cannot be written: {why}.".strip())


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it if the block succeeds.

    The new file is on disk before it gets its name, and the name is on disk before this
    returns. If the block fails, `path` is unchanged and the temporary file is removed.
    """
    # Keep the suffix: numpy.savez, for one, appends ".npz" where it is missing.
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        put(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def put(partial: Path, path: Path) -> None:
    """Renames a finished file; file and name are on disk when this returns."""
    sync(partial)
    os.replace(partial, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Waits until a file, or the entries of a directory, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Waits until everything in a folder, and its own name, are on disk."""
    for path in (*sorted(folder.rglob("*")), folder, folder.parent):
        sync(path)


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
