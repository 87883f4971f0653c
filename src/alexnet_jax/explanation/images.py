"""The images that the reader can choose, with their predictions."""

from typing import Any

from alexnet_jax.explanation import packing
from alexnet_jax.explanation.subject import Subject

SIDE = 128  # pixels of an image in the page, at most


def collect(subject: Subject) -> dict[str, Any]:
    """Pixels, uint8 `[images, side, side, 3]`, and titles; `size` and `crop` are those
    of the network, in pixels of the full image."""
    pixels = packing.shrunk(subject.shown.images, SIDE)
    return {
        "size": subject.config.data.image_size,
        "crop": subject.config.augment.crop_size,
        "side": pixels.shape[1],
        "pixels": packing.pixels(pixels),
        "titles": subject.shown.titles,
        "label": subject.shown.label.tolist(),
        "count": len(pixels),
    }
