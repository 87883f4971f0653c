"""user_images.py and picture_reading.py against Pillow: orientation, transparency, 16
bits, arrays; and what is handed in as an image and is none."""

import io
import os
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin
from stand_ins import encoded, picture

from alexnet_jax.data import decoding, picture_reading, user_images
from alexnet_jax.errors import UserError

PIXELS = picture(0, height=40, width=60)


def read(one, size=24):
    out = np.zeros((size, size, 3), np.uint8)
    picture_reading.read_into(one, out)
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
    picture_reading.read_into(one, found, squash=True)
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


def test_sixteen_bits_with_a_transparent_grey(tmp_path):
    pixels = np.arange(576, dtype=np.uint16).reshape(24, 24) * 100
    found = read(saved(tmp_path, encoded(pixels, "PNG", transparency=500)))
    expected = np.where(pixels == 500, 255, pixels >> 8)
    np.testing.assert_array_equal(found[:, :, 0], expected)


def test_twelve_bits(tmp_path):
    pixels = np.arange(576).reshape(24, 24) * 7
    a, b = pixels.reshape(-1, 2).T
    packed = np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], 1).astype(np.uint8)
    size, start = packed.nbytes, 8 + 2 + 9 * 12 + 4
    fields = {256: 24, 257: 24, 258: 12, 259: 1, 262: 1, 273: start, 277: 1, 278: 24}
    fields |= {279: size}  # bytes of the strip that begins at `start`
    head = b"II*\0" + struct.pack("<IH", 8, len(fields))
    head += b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in fields.items())
    found = read(saved(tmp_path, head + bytes(4) + packed.tobytes()))
    np.testing.assert_array_equal(found[:, :, 0], pixels >> 4)


@pytest.mark.parametrize(
    "dtype, form, kind",
    [
        (np.float32, "TIFF", "floating-point"),
        (np.float32, "PPM", "floating-point"),
        (np.int32, "TIFF", "32-bit"),
    ],
)
def test_pixels_of_no_known_range_are_refused(tmp_path, dtype, form, kind):
    pixels = np.linspace(0, 1, 576).reshape(24, 24)
    content = encoded((pixels * 255).astype(dtype), form)
    for one in (saved(tmp_path, content), Image.open(io.BytesIO(content))):
        with pytest.raises(ValueError, match=f"{kind} pixels have no known range"):
            read(one)


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
    "pixels, message",
    [
        (np.zeros((9, 9, 3), np.float32), "float32"),
        (np.zeros((9, 9, 4), np.uint8), "4 channels"),
        (np.zeros((0, 9, 3), np.uint8), "not empty"),
    ],
)
def test_other_arrays_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        read(pixels)


def test_a_crop_is_neither_scaled_nor_cropped(tmp_path):
    """Whatever the form: the same pixels, and for a JPEG those of its decoder."""
    pixels = picture(0, height=24, width=24)
    content = encoded(pixels)
    found = np.zeros((24, 24, 3), np.uint8)
    picture_reading.read_into(saved(tmp_path, content), found, exact=True)
    np.testing.assert_array_equal(found, decoding.decode(content))
    png = saved(tmp_path, encoded(pixels, "PNG"), "one.png")
    for one in (png, pixels, Image.fromarray(pixels)):
        picture_reading.read_into(one, found, exact=True)
        np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "transparent", "turned", "array"])
def test_another_size_than_the_crop_is_refused(tmp_path, form):
    """Also a square, and one that has it only before the EXIF orientation."""
    one = picture(0, height=24, width=25)
    if form == "transparent":
        one = np.dstack([one, one[:, :, :1]])
    if form == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        one = saved(tmp_path, encoded(one, "PNG", exif=exif))
    elif form != "array":
        one = saved(tmp_path, encoded(one, "JPEG" if form == "JPEG" else "PNG"))
    size = "24 x 25" if form == "turned" else "25 x 24"
    out = np.zeros((24, 24, 3), np.uint8)
    with pytest.raises(ValueError, match=f"{size} pixels, .* crop is 24 x 24"):
        picture_reading.read_into(one, out, exact=True)
    with pytest.raises(ValueError, match="48 x 48 pixels, .* crop is 24 x 24"):
        picture_reading.read_into(picture(0, 48, 48), out, exact=True)


# --- no images -----------------------------------------------------------------------


def a_pipe(path):
    os.mkfifo(path)


def an_endless_device(path):
    path.symlink_to("/dev/zero")


def a_huge_file(path):
    with path.open("wb") as file:
        file.truncate(decoding.MAX_BYTES + 1)


def a_program_in_postscript(path):
    path.write_bytes(encoded(PIXELS, "EPS"))


def a_folder(path):
    path.mkdir()


@pytest.mark.parametrize(
    "make, reason",
    [
        (a_pipe, "not a regular file"),
        (an_endless_device, "not a regular file"),
        (a_huge_file, "536,870,913 bytes are more than"),
        (a_program_in_postscript, "no image of a format that is read: JPEG, PNG"),
        (a_folder, "Is a directory"),
    ],
)
def test_what_is_no_image_is_left_out(tmp_path, make, reason):
    make(tmp_path / "one.jpg")
    good = saved(tmp_path, encoded(PIXELS, "PNG"), "two.png")
    source = user_images.open_pictures([tmp_path / "one.jpg", good], 24)
    image, label = np.ones((2, 24, 24, 3), np.uint8), np.zeros(2, np.int32)
    source.read(np.arange(2), image, label)
    assert list(source.skipped) == [0] and reason in source.skipped[0]
    np.testing.assert_array_equal(image[1], read(good))


@pytest.mark.parametrize("error", [KeyError("IDAT"), struct.error(), ZeroDivisionError])
def test_any_failure_of_a_decoder_is_of_its_image(tmp_path, monkeypatch, error):
    def fail(image):
        raise error

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    path = saved(tmp_path, encoded(PIXELS, "PNG"))
    with pytest.raises(UserError, match="one.png: .*(?i:error)"):
        source = user_images.open_pictures([path], 24)
        source.read(np.arange(1), np.zeros((1, 24, 24, 3), np.uint8), np.zeros(1))
        user_images.refuse_problems(source)


def test_labels_are_sorted_class_names(tmp_path):
    files = [
        saved(tmp_path, encoded(PIXELS, "PNG"), f"{place}.png") for place in range(3)
    ]
    source = user_images.open_pictures(files, 24, ["two", "one", "two"])
    image, label = np.zeros((3, 24, 24, 3), np.uint8), np.zeros(3, np.int32)
    source.read(np.arange(3), image, label)
    assert source.class_names == ["one", "two"] and label.tolist() == [1, 0, 1]
