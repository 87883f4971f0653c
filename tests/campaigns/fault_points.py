"""Faults at each write, rename and fsync that Python code does below a folder.

In a forked process the primitives are wrapped: creating a file, writing to it, fsync,
rename, mkdir, removal. Each call is a point, named by what it does to which file and
for which time, "fsync checkpoints/8/SHA256SUMS #1". A first run lists the points; then
each of them can be struck. TensorStore writes in C++, unseen from here.
"""

import builtins
import errno
import io
import os
import re
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from tests.campaigns.power_loss import Durable

KILL, NO_SPACE, IO_ERROR, SHORT, POWER = "kill", "ENOSPC", "EIO", "short write", "power"
END = "after the end"

# What a file system may answer to each operation.
_APPLIES = {
    NO_SPACE: ("create", "mkdir", "write"),
    IO_ERROR: ("fsync", "rename", "unlink"),
    SHORT: ("write",),
}
_CODES = {NO_SPACE: errno.ENOSPC, IO_ERROR: errno.EIO, SHORT: errno.ENOSPC}


def applies(kind: str, point: str) -> bool:
    operation = point.split()[0]
    return operation in _APPLIES.get(kind, (operation,))


class FaultPoints:
    """Wraps the primitives of this process, until it ends.

    Without a point to strike it lists all points in `points`.
    """

    def __init__(self, folder: Path, beside: Path, point: str = "", kind: str = ""):
        """
        Args:
            folder: only calls for paths below it are points.
            beside: a folder that survives the process: `struck` is written when the
                point is reached, and `durable` what a loss of power leaves.
        """
        self._folder, self._beside = os.path.abspath(folder), beside
        self._point, self._kind = point, kind
        self._counts: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._cut_short: set[str] = set()
        self._open = io.open
        self._durable = Durable(folder, beside) if kind == POWER else None
        self.points: list[str] = []

    def install(self) -> None:
        """Only paths that are given as such are seen, not those relative to an open
        folder, which `shutil.rmtree` removes."""
        for name in ("mkdir", "rmdir", "unlink", "remove", "truncate"):
            self._wrap(name, "mkdir" if name == "mkdir" else "unlink")
        self._wrap("fsync", "fsync")
        self._wrap("pwrite", "write")
        self._wrap("ftruncate", "write")
        for name in ("rename", "replace"):
            self._wrap(name, "rename")
        self._wrap_open()

    def _wrap(self, name: str, operation: str) -> None:
        original = getattr(os, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            # That of the new name, for a rename.
            path = self._path_of(arguments[1 if operation == "rename" else 0])
            absent = operation == "unlink" and not os.path.lexists(arguments[0])
            if path is None or absent or options.get("dir_fd") is not None:
                return original(*arguments, **options)
            self.reach(operation, path)
            if self._durable is None:
                return original(*arguments, **options)
            with self._lock, self._durable.noted(operation, *arguments[:2]):
                return original(*arguments, **options)

        setattr(os, name, wrapped)

    def _wrap_open(self) -> None:
        """Of files that are opened to be written."""
        os_open = os.open

        def opened(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
            path = None if set(mode) <= set("rbt") else self._path_of(file)
            if path is None:
                return self._open(file, mode, *rest, **options)
            self._create(path)
            return self._written(file, mode, *rest, **options)

        def descriptor(path: Any, flags: int, *rest: Any, **options: Any) -> int:
            inside = None
            if flags & os.O_CREAT and options.get("dir_fd") is None:
                inside = self._path_of(path)
            if inside is not None:
                self._create(inside)
            return os_open(path, flags, *rest, **options)

        io.open = builtins.open = opened
        os.open = descriptor

    def _create(self, path: str) -> None:
        if not os.path.exists(path):
            self.reach("create", path)
            if self._durable is not None:
                self._durable.created(path)

    def _written(
        self,
        file: Any,
        mode: str,
        buffering: int = -1,
        encoding: Any = None,
        errors: Any = None,
        newline: Any = None,
    ) -> Any:
        """What `open` gives, over a raw file whose writes are points."""
        raw = _RawFile(file, mode.replace("b", "").replace("t", ""))
        raw.points, raw.path = self, os.path.abspath(file)
        if buffering == 0:
            return raw
        both = io.BufferedRandom if "+" in mode else io.BufferedWriter
        buffered = both(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding, errors, newline, buffering == 1)

    def _path_of(self, file: Any) -> str | None:
        """The path of a name or descriptor; None if it is not below the folder."""
        if isinstance(file, int):
            path = os.readlink(f"/proc/self/fd/{file}")
        else:
            path = os.path.abspath(os.fsdecode(file))
        inside = path.startswith((self._folder + os.sep, self._folder + " "))
        return path if inside or path == self._folder else None

    def reach(self, operation: str, path: str) -> None:
        """Raises OSError, or ends the process, if this is the point to strike."""
        with self._lock:
            name = f"{operation} {self._name(path)}"
            self._counts[name] += 1
            point = f"{name} #{self._counts[name]}"
            self.points.append(point)
            if point == self._point:
                self.strike(path)

    def strike(self, path: str = "") -> None:
        with self._open(self._beside / "struck", "w") as file:
            file.write(f"{self._kind} at {self._point}\n")
        if self._durable is not None:
            self._durable.write()
        if self._kind in (KILL, POWER):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._kind == SHORT:
            self._cut_short.add(path)
            return
        self.fail(path)

    def fail(self, path: str) -> None:
        code = _CODES[self._kind]
        raise OSError(code, os.strerror(code), path)

    def _name(self, path: str) -> str:
        """Relative, without numbers that differ from process to process."""
        name = os.path.relpath(path, self._folder).replace(str(os.getpid()), "PID")
        return re.sub(r"[0-9a-f]{32}|\d{9,}", "N", name)

    def is_cut_short(self, path: str) -> bool:
        return path in self._cut_short


class _RawFile(io.FileIO):
    """Of the bytes that are cut short half are written; then it has no more space."""

    points: FaultPoints
    path: str
    _ends = False

    def write(self, content: Any) -> int:
        if self._ends:
            self.points.fail(self.path)
        self.points.reach("write", self.path)
        if self.points.is_cut_short(self.path):
            self._ends = True
            return super().write(memoryview(content).cast("B")[: len(content) // 2])
        return super().write(content)
