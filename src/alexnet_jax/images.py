"""Encoded images to RGB pixels, 0-255, and to squares of one size (paper section 2)."""

import io
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import Image

# Threads of ours decode images side by side; OpenCV's own would only get in their way.
cv2.setNumThreads(1)

_JPEG = b"\xff\xd8\xff"
_CMYK = "CMYK"
# Larger ones are taken for an attack on the memory. Those of ImageNet are smaller.
MAX_PIXELS = 89_478_485  # Pillow's limit, 256 MiB of RGB
# What libjpeg remarks on in whole pictures, some of ImageNet's among them.
_HARMLESS = "extraneous bytes before marker"


def decode(encoded: bytes) -> np.ndarray:
    """Decodes an image of any format that Pillow reads.

    Grey becomes three equal channels, CMYK and transparency become RGB; the orientation
    noted by a camera is not applied.

    Returns:
        uint8 `[height, width, 3]`, RGB 0-255.

    Raises:
        ValueError: it is no image, or a damaged one.
    """
    try:
        if encoded.startswith(_JPEG):
            height, width, space, _ = simplejpeg.decode_jpeg_header(encoded)
            _check_size(height, width)
            if space != _CMYK:
                return _decode_jpeg(encoded)
        with Image.open(io.BytesIO(encoded)) as image:
            _check_size(image.height, image.width)
            return np.array(image.convert("RGB"))
    # Pillow's ways of saying "damaged"
    except (
        OSError,
        SyntaxError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise ValueError(str(error)) from error


def _check_size(height: Any, width: Any) -> None:
    if height * width > MAX_PIXELS:
        raise ValueError(
            f"{width} x {height} pixels are more than {MAX_PIXELS:,}, the limit"
        )


def _decode_jpeg(encoded: bytes) -> np.ndarray:
    try:
        return simplejpeg.decode_jpeg(encoded, "RGB", strict=True)
    except ValueError as error:
        if _HARMLESS not in str(error):
            raise
        return simplejpeg.decode_jpeg(encoded, "RGB", strict=False)


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


def fit(image: np.ndarray, size: int) -> np.ndarray:
    """The centre square of an image, scaled to size x size.

    The same as scaling the shorter side to `size` and taking the centre (paper section
    2), with less to scale. OpenCV's area filter when shrinking and its cubic one when
    enlarging, as in cuda-convnet2.

    Args:
        image: uint8 `[height, width, 3]`.

    Returns:
        uint8 `[size, size, 3]`; the image itself if it has that shape.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    if side == size:
        return square
    filter = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(square, (size, size), interpolation=filter)
