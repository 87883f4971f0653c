"""Converts source images to the stored form (paper section 2)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.data import decoding, image_statistics
from alexnet_jax.preparation.source_images import Form, Kept, Split

_SAMPLE = 100  # images from which the space on disk is estimated
_RECORD = 256  # bytes of an example besides its image


class Chunk(NamedTuple):
    """Consecutive examples, ready to be written."""

    num_originals: int
    examples: list[bytes]
    sums: image_statistics.Sums
    """Over the pixels that the stored images decode to."""
    unreadable: list[str]
    """One entry per image that could not be read: name and reason."""


def convert(
    split: Split,
    indices: Sequence[int] | np.ndarray,
    form: Form | Kept,
    serialize: Callable[[dict[str, Any]], bytes],
) -> Chunk:
    """Reads, scales, crops and encodes images, or keeps them.

    Args:
        serialize: turns an example into a record.
    """
    size = form.image_size
    pixels = np.empty((len(indices), size, size, 3), np.uint8)
    examples, unreadable = [], []
    for index in indices:
        name = f"number {index}"
        square = pixels[len(examples)]
        try:
            name, label, encoded = split.read(int(index))
            stored = _store(encoded, form, square)
        except (OSError, ValueError) as error:
            unreadable.append(f"{name}: {error}")
            continue
        examples.append(serialize({"image": stored, "label": label, form.key: name}))
    sums = image_statistics.sums_of(pixels[: len(examples)])
    return Chunk(len(indices), examples, sums, unreadable)


def _store(encoded: bytes, form: Form | Kept, square: np.ndarray) -> bytes:
    """Returns the image to store, and writes what training will decode to `square`."""
    if isinstance(form, Kept):
        pixels = decoding.decode(encoded)
        if pixels.shape != square.shape:
            height, width, _ = pixels.shape
            size = form.image_size
            raise ValueError(f"{width} x {height} pixels, not {size} x {size}")
        square[...] = pixels
        return encoded
    decoding.read_into(encoded, square)
    stored = decoding.encode_jpeg(square, form.quality, form.subsampling)
    decoding.read_into(stored, square)
    return stored


def stored_size(split: Split, form: Form | Kept) -> float:
    """Estimated bytes per stored image, from a sample spread over the split."""
    spread = np.linspace(0, split.num_images - 1, min(_SAMPLE, split.num_images))
    sizes = [
        len(image)
        for index in np.unique(spread.astype(int))
        for image in convert(split, [index], form, lambda e: e["image"]).examples
    ]
    return float(np.mean(sizes)) + _RECORD if sizes else 0.0
