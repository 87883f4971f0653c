"""Converts source images to the stored form (paper section 2)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.data import decoding, image_statistics
from alexnet_jax.preparation.source_images import Form, Split

_SAMPLE = 100  # images from which the space on disk is estimated
_RECORD = 256  # bytes of an example besides its image


class Chunk(NamedTuple):
    """Consecutive examples, ready to be written."""

    num_originals: int
    examples: list[bytes]
    sums: image_statistics.Sums
    """Over the pixels that the stored JPEGs decode to."""
    unreadable: list[str]
    """One entry per image that could not be read: name and reason."""


def convert(
    split: Split,
    indices: Sequence[int] | np.ndarray,
    form: Form,
    serialize: Callable[[dict[str, Any]], bytes],
) -> Chunk:
    """Reads, scales, crops and encodes images.

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
            decoding.read_into(encoded, square)
        except (OSError, ValueError) as error:
            unreadable.append(f"{name}: {error}")
            continue
        stored = decoding.encode_jpeg(square, form.quality, form.subsampling)
        example = {"image": stored, "label": label, "file_name": name}
        # The statistics are those of the pixels that training will decode.
        decoding.read_into(stored, square)
        examples.append(serialize(example))
    sums = image_statistics.sums_of(pixels[: len(examples)])
    return Chunk(len(indices), examples, sums, unreadable)


def stored_size(split: Split, form: Form) -> float:
    """Estimated bytes per stored image, from a sample spread over the split."""
    spread = np.linspace(0, split.num_images - 1, min(_SAMPLE, split.num_images))
    sizes = [
        len(image)
        for index in np.unique(spread.astype(int))
        for image in convert(split, [index], form, lambda e: e["image"]).examples
    ]
    return float(np.mean(sizes)) + _RECORD if sizes else 0.0
