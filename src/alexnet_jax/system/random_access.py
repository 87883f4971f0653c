"""Files that many threads can read at any offset."""

import os
from pathlib import Path

import numpy as np


class RandomAccessFile:
    """An open file without a file position; closed with its last reference."""

    def __init__(self, path: Path | str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)

    def read(self, start: int, size: int) -> bytes:
        """Returns up to `size` bytes from offset `start`."""
        return os.pread(self._descriptor, size, start)

    def read_into(self, out: np.ndarray, start: int) -> None:
        """Fills a contiguous array. Raises OSError if the file ends early."""
        if os.preadv(self._descriptor, [out.data], start) != out.nbytes:
            raise OSError(
                f"the file ends within {out.nbytes} bytes from offset {start}"
            )

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):  # false if os.open failed
            os.close(self._descriptor)
