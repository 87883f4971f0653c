"""A directory for one process at a time, on this machine or any other that shares it.

The operating system releases the lock when its process ends, however it ends, so a dead
process never blocks a directory.
"""

import contextlib
import fcntl
import os
import socket
import sys
from pathlib import Path

from alexnet_jax.errors import UserError

FILE = ".lock"


class Taken(UserError):
    """Another live process is using the directory."""


class Lock:
    """Holds a directory until `release`, or until the lock is garbage-collected.

    Both the directory and a file in it are locked: the directory because the file may
    be deleted, the file because network file systems lock only files.
    """

    died: str
    """The last holder if it ended without a release, "process 17 on HOST"; else ""."""

    def __init__(self, directory: Path) -> None:
        """Locks the directory, which must exist.

        Raises:
            Taken: another process holds it; the message names process and machine.
        """
        path = directory / FILE
        self.died = ""
        self._path = directory.resolve()
        self._directory = os.open(directory, os.O_RDONLY)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _lock_too(self._directory)
        except BlockingIOError as error:
            holder = self._name_inside()
            self._close()
            raise Taken(
                f"another process is using {directory} ({holder or 'just started'}): "
                "wait for it, stop it, or use another directory."
            ) from error
        except OSError as error:  # a file system without locks
            print(
                f"warning: {path} cannot be locked ({error.strerror}): make sure "
                "that no other process uses this directory",
                file=sys.stderr,
                flush=True,
            )
        else:  # without a lock, the process named inside may be alive
            self.died = self._name_inside()
        with contextlib.suppress(OSError):  # full disk; the name is only informative
            os.ftruncate(self._file, 0)
            name = f"process {os.getpid()} on {socket.gethostname()}\n"
            os.pwrite(self._file, name.encode(), 0)
            os.fsync(self._file)  # other machines may read it

    def _name_inside(self) -> str:
        return os.pread(self._file, 300, 0).decode(errors="replace").strip()

    def release(self) -> None:
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)
            self._close()

    def is_in_place(self) -> bool:
        """False if the directory has been renamed, deleted or replaced since."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._directory))
        except OSError:
            return False

    def _close(self) -> None:
        os.close(self._file)
        os.close(self._directory)
        self._file = -1

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.release()


def holder(directory: Path) -> str:
    """The process that a locked directory names, "process 17 on HOST"; "" if none."""
    try:
        return (directory / FILE).read_text(errors="replace").strip()
    except OSError:
        return ""


class NoLock:
    """Of a process that leaves the directory to process 0 of its run."""

    def release(self) -> None:
        pass

    def is_in_place(self) -> bool:
        return True


def _lock_too(directory: int) -> None:
    """Locks an open directory, where the file system can."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass  # the file is locked
