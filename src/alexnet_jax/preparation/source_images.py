"""Source images, whatever their storage."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, NamedTuple

from alexnet_jax.ranges import Range


class Original(NamedTuple):
    """A source image, still encoded."""

    name: str
    """Its file name or key, to find it again."""
    label: int
    encoded: bytes


@dataclass(frozen=True)
class Split:
    """Images with random access; reading is safe from many threads."""

    num_images: int
    read: Callable[[int], Original]
    """Raises ValueError or OSError if an image cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """How an image is scaled and stored."""

    channels: ClassVar = 3
    encoding: ClassVar = "jpeg"
    key: ClassVar = "file_name"
    image_size: Annotated[int, Range(1, 9_459)] = 256  # decoding.MAX_PIXELS
    """Pixels per side: the shorter side is scaled to this and the centre taken."""
    quality: Annotated[int, Range(1, 100)] = 95
    """JPEG quality, 1 to 100 (benchmarks/input_pipeline.py: size and error of each)."""
    subsampling: Literal["444", "422", "420"] = "420"
    """JPEG chroma subsampling: 420 is usual for photographs; 444 keeps full colour, but
    is a third larger and slower to read."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Images that are stored as they are: all of one size, which training reads."""

    image_size: int
    """Pixels per side."""
    channels: int = 3
    """1 for grey."""
    encoding: Literal["jpeg", "png"]
    key: Literal["file_name", "id"]
    """The feature with the name of an image."""


@dataclass(frozen=True)
class Originals:
    """All splits of a source."""

    name: str
    """Name of the prepared dataset; without its size if images are scaled."""
    class_names: list[str]
    splits: dict[str, Split]
    remarks: list[str] = field(default_factory=list)
    """Messages about missing images."""
    kept: Kept | None = None
    """None means that images are scaled to a `Form`."""
