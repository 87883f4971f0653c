"""A directory for one process at a time, on this machine or on another that shares it.

The lock is one of the operating system: it ends with its process, however that ends, so
the lock of a dead process is none.
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
    """Another process that lives works on the directory."""


class Lock:
    """Holds a directory from its making until `release`, or until it is forgotten."""

    died: str
    """The process that ended without a release: "process 17 on HOST"; else empty."""

    def __init__(self, directory: Path) -> None:
        """Takes the directory, which must be there.

        Raises:
            Taken: another process holds it; the message names process and machine.
        """
        path = directory / FILE
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = self._name_inside()
            self._close()
            raise Taken(
                f"another process works on {directory} ({holder or 'just begun'}): "
                "wait for it or stop it, or use another directory."
            ) from error
        except OSError as error:  # a file system without locks
            print(
                f"warning: {path} cannot be locked ({error.strerror}): see to it that "
                "no other process works there",
                file=sys.stderr,
                flush=True,
            )
        self.died = self._name_inside()
        with contextlib.suppress(OSError):  # a full disk; the name is a help only
            os.ftruncate(self._file, 0)
            name = f"process {os.getpid()} on {socket.gethostname()}\n"
            os.pwrite(self._file, name.encode(), 0)

    def _name_inside(self) -> str:
        return os.pread(self._file, 300, 0).decode(errors="replace").strip()

    def release(self) -> None:
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)
            self._close()

    def _close(self) -> None:
        os.close(self._file)
        self._file = -1

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.release()
