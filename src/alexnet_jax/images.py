"""Encoded images to RGB pixels, 0-255, and to squares of one size (paper section 2)."""

import io

import cv2
import numpy as np
import simplejpeg
from PIL import Image

# Threads of ours decode images side by side; OpenCV's own would only get in their way.
cv2.setNumThreads(1)

_JPEG = b"\xff\xd8\xff"
_CMYK = "CMYK"


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
            if simplejpeg.decode_jpeg_header(encoded)[2] != _CMYK:
                return simplejpeg.decode_jpeg(encoded, "RGB", strict=True)
        with Image.open(io.BytesIO(encoded)) as image:
            return np.array(image.convert("RGB"))
    # Pillow's ways of saying "damaged"
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error


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
