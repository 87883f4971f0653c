"""Files that many threads read at any place."""

import os
from pathlib import Path

import numpy as np


class RandomAccessFile:
    """An open file without a position of its own; closed with its last reference."""

    def __init__(self, path: Path | str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)

    def read(self, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start` on."""
        return os.pread(self._descriptor, size, start)

    def read_into(self, out: np.ndarray, start: int) -> None:
        """Fills a contiguous array. Raises OSError where the file ends early."""
        if os.preadv(self._descriptor, [out.data], start) != out.nbytes:
            raise OSError(f"the file ends within {out.nbytes} bytes from {start} on")

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):  # it could be opened
            os.close(self._descriptor)
