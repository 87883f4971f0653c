"""Arrays as JSON: base64 of their bytes, row by row, little endian."""

import base64
from typing import Any

import numpy as np


def floats(values: Any) -> str:
    """float32 values."""
    return _text(np.asarray(values, "<f4"))


def pixels(values: np.ndarray) -> str:
    """uint8 values."""
    return _text(np.asarray(values, np.uint8))


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def levels(values: np.ndarray, low: float, high: float) -> str:
    """uint8 levels, 0 at `low` to 255 at `high`."""
    span = high - low or 1.0
    return pixels(np.clip(np.rint((values - low) / span * 255), 0, 255))


def rounded(values: Any, digits: int = 5) -> Any:
    """A list, nested as the array; None for values that are not finite."""
    if np.ndim(values):
        return [rounded(value, digits) for value in values]
    return round(float(values), digits) if np.isfinite(values) else None


def shrunk(images: np.ndarray, side: int) -> np.ndarray:
    """Means of square blocks, so that height and width are at most `side`.

    Args:
        images: `[n, height, width, ...]`, of any numbers; pixels that fill no block at
            the lower and right edge are left out.

    Returns:
        float32, or the images as they are if they are small enough.
    """
    block = -(-images.shape[1] // side)
    if block <= 1:
        return images
    size = images.shape[1] // block
    cut = images[:, : size * block, : size * block].astype(np.float32)
    blocks = cut.reshape(len(images), size, block, size, block, *images.shape[3:])
    return blocks.mean(axis=(2, 4))
