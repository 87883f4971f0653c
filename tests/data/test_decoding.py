"""decoding.py against Pillow, on every kind of file that ImageNet surprises with."""

import io

import numpy as np
import pytest
from PIL import Image

from alexnet_jax.data import decoding

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def encoded(mode, form, **options):
    stream = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(stream, format=form, **options)
    return stream.getvalue()


def pillow(data):
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize(
    "mode, form",
    [
        ("RGB", "JPEG"),
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("RGB", "PNG"),
        ("L", "PNG"),
        ("P", "PNG"),
        ("RGBA", "PNG"),
        ("RGB", "BMP"),
        ("P", "GIF"),
    ],
)
def test_decode_equals_pillow(mode, form):
    data = encoded(mode, form)
    found = decoding.decode(data)
    assert found.dtype == np.uint8 and found.shape == (40, 60, 3)
    # Two JPEG decoders may differ in rounding.
    assert np.abs(found.astype(int) - pillow(data).astype(int)).max() <= 2


def test_orientation_is_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert decoding.decode(encoded("RGB", "JPEG", exif=exif)).shape == (40, 60, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an image",
        encoded("RGB", "JPEG")[:-300],
        encoded("RGB", "PNG")[:-300],
        encoded("RGB", "JPEG")[:20],
    ],
    ids=["empty", "text", "cut JPEG", "cut PNG", "head of a JPEG"],
)
def test_damage_is_an_error(data):
    with pytest.raises(ValueError):
        decoding.decode(data)


def test_fit_takes_the_centre():
    """A grey frame left and right of a white centre square disappears."""
    image = np.full((50, 90, 3), 10, np.uint8)
    image[:, 20:70] = 255
    np.testing.assert_array_equal(decoding.fit(image, 25), 255)


def test_squashing_takes_all_of_the_image():
    """Each pixel of the result is the mean of 2 x 3; a scale of 1 changes nothing."""
    means = PIXELS.reshape(20, 2, 20, 3, 3).mean(axis=(1, 3))
    found = decoding.fit(PIXELS, 20, squash=True)
    assert np.abs(found - means).max() <= 0.51
    square = np.ascontiguousarray(PIXELS[:, :40])
    assert np.shares_memory(decoding.fit(square, 40, squash=True), square)


@pytest.mark.parametrize("size", [20, 40, 64])
def test_fit_sizes(size):
    assert decoding.fit(PIXELS, size).shape == (size, size, 3)


def test_fit_by_half_is_the_mean_of_four():
    square = PIXELS[:, 10:50]
    means = square.reshape(20, 2, 20, 2, 3).mean(axis=(1, 3))
    found = decoding.fit(PIXELS, 20)
    assert np.abs(found - means).max() <= 0.51


def test_fit_leaves_the_right_size_alone():
    square = np.ascontiguousarray(PIXELS[:, :40])
    assert np.shares_memory(decoding.fit(square, 40), square)


def test_an_absurd_size_is_damage():
    """Pillow raises its own error for it, which is not an OSError."""
    data = bytearray(encoded("RGB", "BMP"))
    data[18:26] = (10**5).to_bytes(4, "little") * 2  # width and height
    with pytest.raises(ValueError, match="exceeds limit"):
        decoding.decode(bytes(data))


@pytest.mark.parametrize(
    "form, height, width",
    [
        ("JPEG", 16, 16),
        ("JPEG", 40, 30),
        ("JPEG", 9, 12),
        ("PNG", 16, 16),
        ("PNG", 30, 50),
    ],
)
def test_read_into_equals_decode_and_fit(form, height, width):
    """In place, through memory of the thread, and through new memory."""
    generator = np.random.default_rng(height)
    content = io.BytesIO()
    pixels = generator.integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(content, format=form)
    out = np.zeros((3, 16, 16, 3), np.uint8)
    decoding.read_into(content.getvalue(), out[1])
    expected = decoding.fit(decoding.decode(content.getvalue()), 16)
    np.testing.assert_array_equal(out[1], expected)
    assert not out[0].any() and not out[2].any()


def test_channel_products_are_exact():
    pixels = np.random.default_rng(0).integers(0, 256, (37, 41, 3), np.uint8)
    flat = pixels.reshape(-1, 3).astype(np.int64)
    np.testing.assert_array_equal(decoding.channel_products(pixels), flat.T @ flat)
