"""user_images.py against Pillow: orientation, transparency, 16 bits, arrays."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps
from stand_ins import encoded, picture

from alexnet_jax.data import decoding, user_images
from alexnet_jax.errors import UserError

PIXELS = picture(0, height=40, width=60)


def read(one, size=24):
    out = np.zeros((size, size, 3), np.uint8)
    user_images.read_into(one, out)
    return out


def saved(folder, content, name="one.png"):
    (folder / name).write_bytes(content)
    return folder / name


def test_a_file_is_read_as_a_dataset_is(tmp_path):
    content = encoded(PIXELS)
    expected = np.zeros((24, 24, 3), np.uint8)
    decoding.read_into(content, expected)
    np.testing.assert_array_equal(read(saved(tmp_path, content)), expected)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "array"])
def test_squashing(tmp_path, form):
    one = PIXELS if form == "array" else saved(tmp_path, encoded(PIXELS, form))
    found = np.zeros((20, 20, 3), np.uint8)
    user_images.read_into(one, found, squash=True)
    decoded = PIXELS if form == "array" else decoding.decode(one.read_bytes())
    np.testing.assert_array_equal(found, decoding.fit(decoded, 20, squash=True))
    assert np.abs(found.astype(int) - decoding.fit(decoded, 20)).max() > 5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_orientation_equals_pillow(tmp_path, orientation, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(PIXELS, form, exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        turned = np.array(ImageOps.exif_transpose(image).convert("RGB"))
        expected = decoding.fit(turned, 24)
        found = {"file": read(saved(tmp_path, content)), "image": read(image)}
    for pixels in found.values():
        # Two JPEG decoders may differ in rounding.
        assert np.abs(pixels.astype(int) - expected).max() <= (
            2 if form == "JPEG" else 0
        )


def test_white_lies_behind_transparent_pixels(tmp_path):
    pixels = np.zeros((24, 24, 4), np.uint8)
    pixels[:, :8] = [200, 100, 0, 255]
    pixels[:, 8:16] = [200, 100, 0, 0]
    pixels[:, 16:] = [0, 0, 0, 128]
    found = read(saved(tmp_path, encoded(pixels, "PNG")))
    np.testing.assert_array_equal(
        found[:, :8], np.broadcast_to([200, 100, 0], (24, 8, 3))
    )
    np.testing.assert_array_equal(found[:, 8:16], 255)
    np.testing.assert_array_equal(found[:, 16:], 127)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits(tmp_path, form):
    pixels = np.arange(576, dtype=np.uint16).reshape(24, 24) * 100
    found = read(saved(tmp_path, encoded(pixels, form)))
    np.testing.assert_array_equal(found[:, :, 0], pixels >> 8)


@pytest.mark.parametrize("mode, form", [("L", "JPEG"), ("P", "GIF"), ("1", "PNG")])
def test_other_modes_equal_pillow(tmp_path, mode, form):
    content = encoded(PIXELS, form, mode=mode)
    expected = np.array(Image.open(io.BytesIO(content)).convert("RGB"))
    found = read(saved(tmp_path, content)).astype(int)
    assert np.abs(found - decoding.fit(expected, 24)).max() <= 2


def test_arrays_and_images_of_pillow_equal_files(tmp_path):
    expected = read(saved(tmp_path, encoded(PIXELS, "PNG")))
    np.testing.assert_array_equal(read(PIXELS), expected)
    np.testing.assert_array_equal(read(Image.fromarray(PIXELS)), expected)
    grey = PIXELS[:, :, 0]
    np.testing.assert_array_equal(read(grey), read(np.stack([grey] * 3, axis=2)))


@pytest.mark.parametrize(
    "pixels, remark",
    [
        (np.zeros((9, 9, 3), np.float32), "float32"),
        (np.zeros((9, 9, 4), np.uint8), "4 channels"),
    ],
)
def test_other_arrays_are_refused(pixels, remark):
    with pytest.raises(ValueError, match=remark):
        read(pixels)


def test_find(tmp_path, monkeypatch):
    for name in ("b.png", "a.JPG", "notes.txt", "deep/c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr("sys.stdin", io.StringIO("x.png\n\n y.txt \n"))
    found = user_images.find(["z", str(tmp_path), "-"])
    below = [tmp_path / name for name in ("a.JPG", "b.png", "deep/c.webp")]
    assert [str(path) for path in found] == ["z", *map(str, below), "x.png", "y.txt"]
    with pytest.raises(UserError, match="no images"):
        user_images.find([])


def test_folders_are_labels(tmp_path):
    names = ["three", "four"]
    files = [saved(tmp_path, encoded(PIXELS, "PNG"))]
    (tmp_path / "four").mkdir()
    files.append(saved(tmp_path / "four", encoded(PIXELS, "PNG")))
    source = user_images.open_pictures(files, 24, names)
    image, label = np.zeros((2, 24, 24, 3), np.uint8), np.zeros(2, np.int32)
    source.read(np.arange(2), image, label)
    assert label.tolist() == [-1, 1]
