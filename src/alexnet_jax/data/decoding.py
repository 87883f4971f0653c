"""Decodes images to RGB pixels, 0-255, as squares of one size (paper section 2)."""

import contextlib
import functools
import io
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

# Our own threads decode images in parallel; those of OpenCV would only compete.
cv2.setNumThreads(1)

# Pillow reads more, but some of it in other programs (EPS in Ghostscript).
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM")
_JPEG = b"\xff\xd8\xff"
_CMYK = "CMYK"
# Larger images are refused, as decompression bombs. All of ImageNet's are smaller.
MAX_PIXELS = 89_478_485  # Pillow's limit, 256 MiB of RGB
MAX_BYTES = 2**29  # of a file: MAX_PIXELS in 16 bits per channel, uncompressed
# A warning of libjpeg about intact images, some of ImageNet's among them.
_HARMLESS = "extraneous bytes before marker"


@functools.cache
def formats() -> tuple[str, ...]:
    """The formats that are read, by Pillow's names: `_FORMATS`, if Pillow has them."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def suffixes() -> set[str]:
    """The suffixes of image files that are read, such as ".jpg"."""
    known = Image.registered_extensions().items()
    return {suffix for suffix, name in known if name in formats()}


def read_file(path: Path) -> bytes:
    """The content of an image file.

    Raises:
        ValueError: not a regular file (a pipe may never end), or larger than MAX_BYTES.
        OSError: the file cannot be read.
    """
    # Without waiting, for the writer of a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        check_bytes(status.st_size)
        return file.read(status.st_size)


def check_bytes(size: int) -> None:
    """Raises ValueError if an encoded image has more than MAX_BYTES bytes."""
    if size > MAX_BYTES:
        raise ValueError(f"{size:,} bytes are more than {MAX_BYTES:,}, the limit")


def read_into(
    encoded: bytes, out: np.ndarray, *, squash: bool = False, bilinear: bool = False
) -> None:
    """Writes `fit(decode(encoded))` to `out`, uint8 `[size, size, 3]`.

    A JPEG that already has this size is decoded in place. Other JPEGs, unless very
    large, are decoded into a reused buffer: page faults of new memory would take a
    quarter of the time.
    """
    pixels = decode(encoded, _memory_for(encoded, out))
    fit(pixels, out.shape[0], out, squash=squash, bilinear=bilinear)


_SCRATCH = 4_000_000  # pixels; nearly all images of ImageNet have fewer
_thread = threading.local()


def _memory_for(encoded: bytes, out: np.ndarray) -> Any:
    """The buffer to decode a JPEG into: `out` or that of this thread.

    None means new memory: the image is too large for the buffer, or not a JPEG.
    """
    if not encoded.startswith(_JPEG):
        return None
    height, width, *_ = _header(encoded)
    if (height, width) == out.shape[:2]:
        return out
    if height * width > _SCRATCH:
        return None
    if not hasattr(_thread, "scratch"):
        _thread.scratch = bytearray(3 * _SCRATCH)
    return _thread.scratch


def _header(encoded: bytes) -> Any:
    """Height, width and colour space of a JPEG."""
    height, width, space, _ = simplejpeg.decode_jpeg_header(encoded)
    check_size(height, width)
    return height, width, space


def decode(encoded: bytes, memory: Any = None) -> np.ndarray:
    """Decodes an image of one of `formats()`.

    Grey becomes three equal channels, CMYK and transparent images become RGB, and 16
    bits are reduced to the upper 8. The EXIF orientation is not applied.

    Args:
        memory: a buffer that may receive the pixels. None means new memory.

    Returns:
        uint8 `[height, width, 3]`, RGB 0-255.

    Raises:
        ValueError: not an image, or a damaged one.
    """
    if encoded.startswith(_JPEG) and _header(encoded)[2] != _CMYK:
        return _decode_jpeg(encoded, memory)
    with opened(encoded) as image:
        return rgb(image)


@contextlib.contextmanager
def opened(encoded: bytes) -> Iterator[Image.Image]:
    """Opens an image of one of `formats()`, which decodes itself when it is used.

    Raises:
        ValueError: not an image, or one that Pillow fails on inside the block.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=formats()) as image:
            check_size(image.height, image.width)
            yield image
    except ValueError:
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(formats())
        raise ValueError(f"no image of a format that is read: {known}") from error
    # Besides OSError, whatever its readers run into in damaged images.
    except Exception as error:
        text = str(error) if isinstance(error, OSError) else repr(error)
        raise ValueError(text) from error


def rgb(image: Image.Image) -> np.ndarray:
    """The pixels of a Pillow image: uint8 `[height, width, 3]`, RGB 0-255.

    Raises:
        ValueError: it has floating-point or 32-bit pixels, whose range is not known.
    """
    # Only these formats have 16 bits in Pillow's mode of 32.
    wide = image.mode == "I" and image.format not in ("PNG", "PPM")
    if wide or image.mode == "F":
        kind = "32-bit" if wide else "floating-point"
        raise ValueError(
            f"{kind} pixels have no known range: save it with 8 or 16 bits per channel"
        )
    if image.mode.startswith("I"):
        # Pillow's own conversion would clip 16-bit values at 255.
        upper = (np.asarray(image) >> (_bits(image) - 8)).astype(np.uint8)
        return np.repeat(upper[:, :, None], 3, axis=2)
    return np.array(image.convert("RGB"))


def _bits(image: Image.Image) -> int:
    """Bits of a pixel of mode I: 16, or those that a TIFF says, which may be 12."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(ExifTags.Base.BitsPerSample, (16,))[0]


def check_size(height: Any, width: Any) -> None:
    """Raises ValueError if an image has more than MAX_PIXELS pixels."""
    if height * width > MAX_PIXELS:
        raise ValueError(
            f"{width} x {height} pixels are more than {MAX_PIXELS:,}, the limit"
        )


def _decode_jpeg(encoded: bytes, memory: Any) -> np.ndarray:
    try:
        return simplejpeg.decode_jpeg(encoded, "RGB", strict=True, buffer=memory)
    except ValueError as error:
        if _HARMLESS not in str(error):
            raise
        return simplejpeg.decode_jpeg(encoded, "RGB", strict=False, buffer=memory)


def encode_jpeg(image: np.ndarray, quality: int, subsampling: str) -> bytes:
    """Encodes uint8 `[height, width, 3]`; subsampling "444" keeps full colour."""
    pixels = np.ascontiguousarray(image)
    return simplejpeg.encode_jpeg(pixels, quality, "RGB", subsampling)


def encode_png(image: np.ndarray) -> bytes:
    """Encodes uint8 `[height, width, 3]`, or grey `[height, width]`, without loss."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="PNG")
    return content.getvalue()


def channel_products(image: np.ndarray) -> np.ndarray:
    """Exact sums, over all pixels, of the products of each two channels.

    Computed from sums of squares by |a + b|^2 = |a|^2 + 2ab + |b|^2: OpenCV has these
    for integers, four times as fast as a matrix product of floating-point pixels.

    Args:
        image: uint8 `[height, width, 3]`, at most MAX_PIXELS pixels.

    Returns:
        int64 `[3, 3]`.
    """
    channels: Any = cv2.split(image)
    products = np.diag([_sum_of_squares(channel) for channel in channels])
    for i, j in ((0, 1), (0, 2), (1, 2)):
        both = cv2.add(channels[i], channels[j], dtype=cv2.CV_16U)
        mixed = _sum_of_squares(both) - products[i, i] - products[j, j]
        products[i, j] = products[j, i] = mixed // 2
    return products


def _sum_of_squares(channel: Any) -> int:
    return round(cv2.norm(channel, cv2.NORM_L2SQR))  # OpenCV squares a root


def fit(
    image: np.ndarray,
    size: int,
    out: np.ndarray | None = None,
    *,
    squash: bool = False,
    bilinear: bool = False,
) -> np.ndarray:
    """The centre square of an image, scaled to size x size.

    Equivalent to scaling the shorter side to `size` and taking the centre (paper
    section 2), with fewer pixels to scale. Uses OpenCV's area filter to shrink and its
    cubic filter to enlarge, as in cuda-convnet2.

    Args:
        image: uint8 `[height, width, 3]`.
        out: uint8 `[size, size, 3]` that receives the result as well.
        squash: scales the whole image, whatever its proportions (Caffe's ImageNet
            tutorial), instead of its centre square.
        bilinear: scales by Pillow's bilinear filter, which covers all pixels when it
            shrinks, and takes the centre afterwards, with the roundings of torchvision.

    Returns:
        uint8 `[size, size, 3]`; a view of the image if no scaling is needed.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    if bilinear and (height, width) != (size, size):
        fitted = _by_pillow(image, size, squash)
        if out is not None:
            out[...] = fitted
        return fitted
    top, left = (height - side) // 2, (width - side) // 2
    square = image if squash else image[top : top + side, left : left + side]
    if square.shape[:2] == (size, size):
        if out is not None:
            out[...] = square
        return square
    filter = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(square, (size, size), dst=out, interpolation=filter)


def _by_pillow(image: np.ndarray, size: int, squash: bool) -> np.ndarray:
    height, width = image.shape[:2]
    side = min(height, width)
    if squash:
        side = height = width = size
    height, width = (int(size * length / side) for length in (height, width))
    scaled = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    top, left = round((height - size) / 2), round((width - size) / 2)
    return np.asarray(scaled)[top : top + size, left : left + size]
