"""Photographs of users: as a viewer shows them, to squares of uint8 pixels.

What images of a dataset don't need: the orientation that a camera noted, white behind
transparent pixels, arrays and Pillow's images beside files.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from alexnet_jax.data import decoding

_QUARTERS = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}  # turns against the clock, by EXIF
_MIRRORED = (2, 4, 5, 7)

# A file, an array of pixels, or an image of Pillow.
Picture = Any


def suffixes() -> set[str]:
    """The suffixes of files that Pillow reads, ".jpg" among them."""
    known = Image.registered_extensions()
    # Pillow knows films and tables of numbers too, but by name only.
    return {
        suffix
        for suffix, form in known.items()
        if form in Image.OPEN and Image.MIME.get(form, "").startswith("image/")
    }


def read_into(picture: Picture, out: np.ndarray, *, squash: bool = False) -> None:
    """Puts the centre square of a picture, scaled, into uint8 `[size, size, 3]`.

    The same pixels as those of a dataset's images: shorter side scaled to `size`, the
    centre taken (paper section 2). See `images.fit`.

    Args:
        picture: a path; uint8 pixels 0-255, RGB `[height, width, 3]` or grey
            `[height, width]`; or an image of Pillow.
        squash: all of it, whatever its proportions, instead of the centre square.

    Raises:
        ValueError: it is no image, a damaged one, or has other pixels.
        OSError: the file cannot be read.
    """
    if isinstance(picture, str | Path):
        _read_file_into(Path(picture), out, squash)
        return
    pixels = _pixels(picture)
    out[...] = decoding.fit(pixels, out.shape[0], squash=squash)


def _read_file_into(path: Path, out: np.ndarray, squash: bool) -> None:
    encoded = path.read_bytes()
    orientation, transparent = _header(encoded)
    if transparent:
        decoding.decode(encoded)  # says what is wrong with a damaged file
        with Image.open(io.BytesIO(encoded)) as image:
            read_into(image, out, squash=squash)
    elif orientation == 1:
        decoding.read_into(encoded, out, squash=squash)
    else:
        pixels = upright(decoding.decode(encoded), orientation)
        out[...] = decoding.fit(pixels, out.shape[0], squash=squash)


def _header(encoded: bytes) -> tuple[int, bool]:
    """Orientation by EXIF, 1 to 8, and whether there are transparent pixels."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            decoding.check_size(image.height, image.width)
            return _orientation(image), image.has_transparency_data
    # `decode` says what is wrong.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 1, False


def _orientation(image: Image.Image) -> int:
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors `[height, width, 3]` as EXIF's orientation says, 1 to 8."""
    turned = np.rot90(pixels, _QUARTERS.get(orientation, 0))
    if orientation in _MIRRORED:
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _pixels(picture: Any) -> np.ndarray:
    """uint8 `[height, width, 3]` of an array or of an image of Pillow."""
    if isinstance(picture, Image.Image):
        shown = picture
        if picture.has_transparency_data:
            over = picture.convert("RGBA")
            shown = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
        return upright(decoding.rgb(shown), _orientation(picture))
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise ValueError(
            f"an array of {pixels.dtype} {list(pixels.shape)}: give uint8 pixels on "
            "0-255, [height, width, 3] or [height, width]"
        )
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    if pixels.shape[2] != 3:
        raise ValueError(f"an array of {pixels.shape[2]} channels: give 3, RGB")
    return np.ascontiguousarray(pixels)
