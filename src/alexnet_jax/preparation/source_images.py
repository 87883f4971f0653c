"""Images as their owner has them, wherever they come from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

from alexnet_jax.config import Range


class Original(NamedTuple):
    """An image as its owner has it."""

    name: str
    """Its file name, by which it can be found again."""
    label: int
    encoded: bytes


@dataclass(frozen=True)
class Split:
    """Images with random access; reading is safe from many threads."""

    num_images: int
    read: Callable[[int], Original]
    """Raises ValueError or OSError where an image cannot be had."""


@dataclass(frozen=True)
class Originals:
    """All that a source holds."""

    name: str
    """What the prepared dataset is called, but for its size."""
    class_names: list[str]
    splits: dict[str, Split]
    remarks: list[str] = field(default_factory=list)
    """What is missing."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a prepared image is stored."""

    image_size: Annotated[int, Range(1, 9_459)] = 256  # decoding.MAX_PIXELS
    """Pixels per side: the shorter side is scaled to it and the centre taken."""
    quality: Annotated[int, Range(1, 100)] = 95
    """Of the JPEG, 1 to 100 (size and error of each: benchmarks/input_pipeline.py)."""
    subsampling: Literal["444", "422", "420"] = "420"
    """Of the JPEG's colour: 420, as photographs have it; 444 keeps all, and is a
    third larger and slower to read."""
