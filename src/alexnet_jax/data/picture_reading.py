"""Reads one picture of a user: a file, an array or a Pillow image.

Unlike for images of a dataset, the EXIF orientation is applied and transparent pixels
become white.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from alexnet_jax.data import decoding
from alexnet_jax.data.picture_lists import Picture

# EXIF orientation: quarter turns counterclockwise.
_QUARTERS = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}
_MIRRORED = (2, 4, 5, 7)


def read_into(
    picture: Picture,
    out: np.ndarray,
    *,
    squash: bool = False,
    bilinear: bool = False,
    exact: bool = False,
) -> None:
    """Writes the scaled centre square of a picture to `out`, uint8 `[size, size, 3]`.

    Treated like the images of a dataset: the shorter side is scaled to `size` and the
    centre taken (paper section 2). See `decoding.fit`.

    Args:
        picture: a path; uint8 pixels 0-255, RGB `[height, width, 3]` or grey
            `[height, width]`; or a Pillow image.
        squash: scales the whole picture, whatever its proportions, instead of its
            centre square.
        bilinear: scales as torchvision does; see `decoding.fit`.
        exact: refuses a picture that is not size x size, so that none is scaled.

    Raises:
        ValueError: not an image, a damaged one, one of another size if `exact`, or an
            array of another type or shape.
        OSError: the file cannot be read.
    """
    if isinstance(picture, str | Path):
        _read_file_into(Path(picture), out, squash, bilinear, exact)
        return
    pixels = _pixels(picture)
    if exact:
        check_crop(pixels.shape[0], pixels.shape[1], len(out))
    out[...] = decoding.fit(pixels, out.shape[0], squash=squash, bilinear=bilinear)


def check_crop(height: int, width: int, size: int) -> None:
    if (height, width) != (size, size):
        raise ValueError(
            f"{width} x {height} pixels, but the network's crop is {size} x {size}, "
            "and views crop scales nothing"
        )


def _read_file_into(
    path: Path, out: np.ndarray, squash: bool, bilinear: bool, exact: bool
) -> None:
    encoded = decoding.read_file(path)
    orientation, transparent = _header(encoded)
    if transparent:
        with decoding.opened(encoded) as image:
            read_into(image, out, squash=squash, bilinear=bilinear, exact=exact)
    elif orientation == 1 and not exact:
        decoding.read_into(encoded, out, squash=squash, bilinear=bilinear)
    else:
        pixels = upright(decoding.decode(encoded), orientation)
        read_into(pixels, out, squash=squash, bilinear=bilinear, exact=exact)


def _header(encoded: bytes) -> tuple[int, bool]:
    """The EXIF orientation, 1 to 8, and True if there may be transparent pixels."""
    try:
        with decoding.opened(encoded) as image:
            return _orientation(image), image.has_transparency_data
    except ValueError:  # `decode` will report the problem
        return 1, False


def _orientation(image: Image.Image) -> int:
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors `[height, width, 3]` according to EXIF orientation, 1 to 8."""
    turned = np.rot90(pixels, _QUARTERS.get(orientation, 0))
    if orientation in _MIRRORED:
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _over_white(image: Image.Image) -> np.ndarray:
    if not image.has_transparency_data:
        return decoding.rgb(image)
    if image.mode.startswith("I"):  # its alpha would be right, but its grey clipped
        pixels = decoding.rgb(image)
        pixels[np.asarray(image) == image.info["transparency"]] = 255
        return pixels
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return decoding.rgb(Image.alpha_composite(white, rgba))


def _pixels(picture: Any) -> np.ndarray:
    """The pixels of an array or a Pillow image: uint8 `[height, width, 3]`."""
    if isinstance(picture, Image.Image):
        return upright(_over_white(picture), _orientation(picture))
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size:
        raise ValueError(
            f"an array of {pixels.dtype} {list(pixels.shape)}: expected uint8 pixels "
            "on 0-255, [height, width, 3] or [height, width], not empty"
        )
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    if pixels.shape[2] != 3:
        raise ValueError(f"an array of {pixels.shape[2]} channels: expected 3, RGB")
    return np.ascontiguousarray(pixels)
