"""A folder that takes its name once it is complete.

It is built in a hidden folder, so a partial one is never mistaken for a complete one.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from alexnet_jax.errors import UserError
from alexnet_jax.system.lock import Lock


@contextlib.contextmanager
def building(final: Path, working: Path) -> Iterator[Path]:
    """Yields the folder that becomes `final` if the block succeeds.

    Otherwise it remains, for a process that resumes.

    Args:
        working: holds the folder and what is only needed until then. One process at a
            time uses it.

    Raises:
        UserError: another process is using it, or it cannot be written.
    """
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
    os.rename(folder, final)
    lock.release()
    shutil.rmtree(working)
