"""Encoded images to RGB pixels, 0-255, and to squares of one size (paper section 2)."""

import io
import threading
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

# Threads of ours decode images side by side; OpenCV's own would only get in their way.
cv2.setNumThreads(1)

_JPEG = b"\xff\xd8\xff"
_CMYK = "CMYK"
# Larger ones are taken for an attack on the memory. Those of ImageNet are smaller.
MAX_PIXELS = 89_478_485  # Pillow's limit, 256 MiB of RGB
# What libjpeg remarks on in whole pictures, some of ImageNet's among them.
_HARMLESS = "extraneous bytes before marker"


def read_into(encoded: bytes, out: np.ndarray, *, squash: bool = False) -> None:
    """`fit(decode(encoded))` written to `out`, uint8 `[size, size, 3]`.

    An image that has this size already is decoded right there. Memory that is used
    again saves a quarter of the time, which goes to the pages of new memory.
    """
    size = out.shape[0]
    pixels = decode(encoded, _memory_for(encoded, out))
    if pixels.shape != out.shape:
        fit(pixels, size, out, squash=squash)
    elif not np.shares_memory(pixels, out):
        out[...] = pixels


_SCRATCH = 4_000_000  # pixels: more than nearly all photographs of ImageNet have
_thread = threading.local()


def _memory_for(encoded: bytes, out: np.ndarray) -> Any:
    """Where to decode a JPEG: in place, in memory of this thread, or in new memory."""
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
    """Decodes an image of any format that Pillow reads.

    Grey becomes three equal channels, CMYK and transparency become RGB, of 16 bits the
    upper 8 stay; the orientation noted by a camera is not applied.

    Args:
        memory: a buffer in which the pixels may be put; none: new memory.

    Returns:
        uint8 `[height, width, 3]`, RGB 0-255.

    Raises:
        ValueError: it is no image, or a damaged one.
    """
    try:
        if encoded.startswith(_JPEG):
            if _header(encoded)[2] != _CMYK:
                return _decode_jpeg(encoded, memory)
        with Image.open(io.BytesIO(encoded)) as image:
            check_size(image.height, image.width)
            return rgb(image)
    except UnidentifiedImageError as error:
        raise ValueError("no image of a format that Pillow reads") from error
    # Pillow's ways of saying "damaged"
    except (
        OSError,
        SyntaxError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise ValueError(str(error)) from error


def rgb(image: Image.Image) -> np.ndarray:
    """The pixels of an image of Pillow: uint8 `[height, width, 3]`, RGB 0-255."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow's own conversion of 16 bits cuts off what is above 255.
        upper = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255)
        return np.repeat(upper.astype(np.uint8)[:, :, None], 3, axis=2)
    return np.array(image.convert("RGB"))


def check_size(height: Any, width: Any) -> None:
    """Raises ValueError where an image has more than MAX_PIXELS."""
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
    """Encodes uint8 `[height, width, 3]`; subsampling "444" keeps all of the colour."""
    pixels = np.ascontiguousarray(image)
    return simplejpeg.encode_jpeg(pixels, quality, "RGB", subsampling)


def channel_products(image: np.ndarray) -> np.ndarray:
    """Sums over the pixels of the products of two channels, exactly.

    From sums of squares, by |a + b|^2 = |a|^2 + 2ab + |b|^2: OpenCV has these for
    integers, four times as fast as a matrix product of floating-point pixels.

    Args:
        image: uint8 `[height, width, 3]`, at most MAX_PIXELS.

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
) -> np.ndarray:
    """The centre square of an image, scaled to size x size.

    The same as scaling the shorter side to `size` and taking the centre (paper section
    2), with less to scale. OpenCV's area filter when shrinking and its cubic one when
    enlarging, as in cuda-convnet2.

    Args:
        image: uint8 `[height, width, 3]`.
        out: uint8 `[size, size, 3]`, where the result is to be, too.
        squash: takes all of the image, whatever its proportions (Caffe's ImageNet
            tutorial), instead of its centre square.

    Returns:
        uint8 `[size, size, 3]`; the image itself if it has that shape.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image if squash else image[top : top + side, left : left + side]
    if square.shape[:2] == (size, size):
        if out is not None:
            out[...] = square
        return square
    filter = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(square, (size, size), dst=out, interpolation=filter)
