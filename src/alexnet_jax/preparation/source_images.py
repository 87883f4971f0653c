"""Images as their owner has them, wherever they come from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


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
