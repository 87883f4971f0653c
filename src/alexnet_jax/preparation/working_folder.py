"""A folder that takes its name once it is complete.

It is built in a hidden folder, so a partial one is never mistaken for a complete one.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files
from alexnet_jax.system.lock import Lock


def is_complete(final: Path) -> bool:
    """True if the folder exists."""
    if final.exists():
        # This remains if the process was killed between renaming and deleting.
        shutil.rmtree(_working(final), ignore_errors=True)
    return final.exists()


@contextlib.contextmanager
def building(final: Path) -> Iterator[Path]:
    """Yields the folder that becomes `final` if the block succeeds.

    Otherwise it remains, for a process that resumes. Its parent is for what is only
    needed until then. One process at a time uses them.

    Raises:
        UserError: another process is using them, or they cannot be written.
    """
    working = _working(final)
    folder = working / "dataset"
    try:
        working.mkdir(parents=True, exist_ok=True)
        lock = Lock(working)
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{working} cannot be written ({error.strerror}): choose another "
            "directory with --data-dir."
        ) from error
    yield folder
    atomic_files.sync_tree(folder)  # a power cut must not empty a complete dataset
    os.rename(folder, final)
    atomic_files.sync(final.parent)
    lock.release()
    shutil.rmtree(working)


def _working(final: Path) -> Path:
    return final.with_name(f".{final.name}.partial")
