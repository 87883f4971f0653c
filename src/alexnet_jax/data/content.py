"""A sample of a dataset's content, by which a resumed run recognises its data."""

import hashlib

import numpy as np

from alexnet_jax.data.source import Source

_EXAMPLES = 64
_JPEG = b"\xff\xd8"


def sample(source: Source) -> list[str]:
    """Digests of 64 examples, spread evenly over the split; "" for a damaged one.

    An example whose image or label changes outside the sample is not noticed.
    """
    indices = np.linspace(0, source.num_examples - 1, _EXAMPLES).astype(int)
    return [_digest(source, int(index)) for index in indices]


def count_changed(before: list[str], now: list[str]) -> int:
    """The number of examples that differ and could be read both times."""
    return sum(a != b for a, b in zip(before, now, strict=False) if a != "" and b != "")


def _digest(source: Source, index: int) -> str:
    """Digest of label and image: of a JPEG the file, since decoders round differently;
    otherwise the pixels, since encoders compress differently."""
    pixels = np.empty((source.image_size, source.image_size, 3), np.uint8)
    try:
        label = source.fetch(index, pixels)
        encoded = source.records[index]["image"]
    except (ValueError, RuntimeError, IndexError, OSError):
        return ""
    content = encoded if encoded.startswith(_JPEG) else pixels.tobytes()
    return hashlib.sha256(b"%d " % label + content).hexdigest()[:16]
