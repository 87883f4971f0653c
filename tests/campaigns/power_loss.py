"""A model of what a loss of power leaves of a folder.

A disk keeps what was synced and may lose everything since. In the model it loses all
of it:

- A file keeps the bytes that it had at its last fsync, or at the start of the process;
  a file that was never synced is empty. This holds for the files that TensorStore
  writes too, which nobody sees being written: they are empty unless Python synced them.
- A name is kept if its folder was synced after it was made. Otherwise, in the stricter
  of two variants, a new file or folder is gone, and a rename is undone: the old name
  has the content again, and what it replaced is back. In the other variant names are
  kept and only contents are lost, as file systems do that write names first.

Not modelled: removals count as kept, names made by TensorStore too, and a file that was
partly overwritten since it was synced keeps its new bytes within its old length.
"""

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECORD = "durable"


class Durable:
    """What is on disk for sure, noted while a process writes.

    Files and folders go by their inode, since they move. Their descriptors stay open,
    so that no inode is used again.
    """

    def __init__(self, folder: Path, beside: Path) -> None:
        self._beside = beside
        self._numbers = itertools.count()
        self._sizes: dict[int, int] = {}
        self._pending: list[dict[str, Any]] = []  # names whose folder is not synced
        self._held: list[int] = []
        for path in folder.rglob("*"):
            if path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                self._keep(descriptor)

    def _keep(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self._sizes[status.st_ino] = status.st_size
        self._held.append(descriptor)

    @contextlib.contextmanager
    def noted(self, operation: str, first: Any, second: Any = None) -> Iterator[None]:
        """Around an operation: what it makes durable, or what is pending after it."""
        kept = self._put_aside(second) if operation == "rename" else None
        yield
        if operation == "fsync":
            self._synced(first)
        elif operation == "mkdir":
            self.created(first)
        elif operation == "rename":
            self._pending.append(
                {"from": _entry(first), "to": _entry(second), "replaced": kept}
            )

    def created(self, path: Any) -> None:
        self._pending.append({"to": _entry(path)})

    def _synced(self, descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            self._pending = [one for one in self._pending if one["to"][0] != inode]
        else:
            self._keep(os.dup(descriptor))

    def _put_aside(self, path: Any) -> str | None:
        """A second name for a file that is about to be replaced."""
        if not os.path.isfile(path):
            return None
        kept = self._beside / f"replaced{next(self._numbers)}"
        os.link(path, kept)
        return os.fspath(kept)

    def write(self) -> None:
        content = {"sizes": self._sizes, "pending": self._pending}
        with open(self._beside / RECORD, "w") as file:
            json.dump(content, file)


def _entry(path: Any) -> tuple[int, str]:
    """A name as the inode of its folder and the name in it."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.stat(folder).st_ino, name


def lose(folder: Path, beside: Path, *, names: bool) -> None:
    """Takes from a folder what a power loss takes; `names` for the strict variant."""
    record = json.loads((beside / RECORD).read_text())
    for change in reversed(record["pending"]) if names else ():
        _undo(folder, change)
    for path in folder.rglob("*"):
        if path.is_file():
            status = path.stat()
            size = record["sizes"].get(str(status.st_ino), 0)
            if size < status.st_size:
                os.truncate(path, size)


def _undo(folder: Path, change: dict[str, Any]) -> None:
    path = _find(folder, change["to"])
    if path is None or not path.exists():
        return
    if "from" not in change:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return
    before = _find(folder, change["from"])
    if before is not None:
        os.rename(path, before)
    if change["replaced"]:
        os.rename(change["replaced"], path)


def _find(folder: Path, entry: tuple[int, str]) -> Path | None:
    inode, name = entry
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and path.stat().st_ino == inode:
            return path / name
    return None
