"""picture_lists.py: what is one picture, what are several, and what is neither."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_ins import picture

from alexnet_jax.data import decoding, picture_lists
from alexnet_jax.errors import UserError

PIXELS = picture(0, height=40, width=60)


@pytest.mark.parametrize(
    "one",
    ["a.jpg", Path("a.jpg"), PIXELS, PIXELS[:, :, 0], Image.fromarray(PIXELS)],
    ids=["text", "path", "colour", "grey", "pillow"],
)
def test_one_picture_is_a_list_of_one(one):
    (found,) = picture_lists.listed(one)
    assert found is one
    (found,) = picture_lists.listed([one])
    assert found is one


@pytest.mark.parametrize("shape", [(5, 40, 60, 3), (1, 3, 3, 3), (2, 40, 60, 1)])
def test_four_dimensions_are_several(shape):
    pixels = np.arange(np.prod(shape)).astype(np.uint8).reshape(shape)
    found = picture_lists.listed(pixels)
    np.testing.assert_array_equal(np.stack(found), pixels)


def test_a_column_of_paths_is_several():
    names = ["a.jpg", "b.jpg", "c.jpg"]
    assert picture_lists.listed(np.array(names)) == names
    assert picture_lists.listed(np.array(names, dtype=object)) == names
    assert picture_lists.listed(name for name in names) == names


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((5, 40, 60), np.uint8), r"uint8 \[5, 40, 60\]"),
        (np.zeros((3, 40, 60), np.uint8), r"uint8 \[3, 40, 60\]"),
        (np.zeros((40, 60, 4), np.uint8), r"uint8 \[40, 60, 4\]"),
        (np.zeros((5, 3, 40, 60), np.uint8), r"uint8 \[5, 3, 40, 60\]"),
        (np.zeros((1, 5, 40, 60, 3), np.uint8), r"uint8 \[1, 5, 40, 60, 3\]"),
        (np.zeros(12, np.uint8), r"uint8 \[12\]"),
        (np.uint8(3), r"uint8 \[\]"),
        (np.zeros((0, 40, 60, 3), np.uint8), r"uint8 \[0, 40, 60, 3\]"),
        (np.zeros((40, 60, 3)), r"float64 \[40, 60, 3\]"),
        (7, "images of type int"),
        (None, "images of type NoneType"),
        (b"a.jpg", "images of type bytes"),
    ],
)
def test_anything_else_is_refused(images, message):
    with pytest.raises(UserError, match=message) as raised:
        picture_lists.listed(images)
    assert "\n" not in str(raised.value)


def test_find(tmp_path, monkeypatch):
    for name in ("b.png", "a.JPG", "notes.txt", "deep/c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = io.TextIOWrapper(io.BytesIO(b"x.png\n\n y.txt \n\xff.png\n"))
    monkeypatch.setattr("sys.stdin", listed)
    found = picture_lists.find(["z", str(tmp_path), "-", PIXELS])
    below = [tmp_path / name for name in ("a.JPG", "b.png", "deep/c.webp")]
    named = ["x.png", "y.txt", os.fsdecode(b"\xff.png")]
    assert picture_lists.keys(found) == ["z", *map(str, below), *named, "7"]
    with pytest.raises(UserError, match="no images"):
        picture_lists.find([])


def test_all_formats_are_found_in_folders():
    """By the suffixes that Pillow registers for them."""
    assert {".jpg", ".png", ".gif", ".bmp", ".webp", ".tif", ".jp2", ".ppm"} <= (
        decoding.suffixes()
    )
    assert not {".eps", ".wmf", ".mpg", ".psd"} & decoding.suffixes()
