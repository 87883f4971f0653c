"""The bilinear filter gives the pixels of torchvision's preprocessing."""

import dataclasses
import io
import tarfile

import numpy as np
import pytest
from PIL import Image
from stand_ins import encoded, picture

from alexnet_jax import presets
from alexnet_jax.data import decoding, picture_reading, user_images

SIZE, CROP = 256, 224


def expected(content):
    """Resize(256) and CenterCrop(224) of torchvision, by its sources' formulas; by
    torchvision itself where it can be imported."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    width, height = image.size
    short, long = min(width, height), max(width, height)
    other = int(SIZE * long / short)
    size = (SIZE, other) if width <= height else (other, SIZE)
    scaled = image.resize(size, Image.Resampling.BILINEAR)
    top = round((scaled.height - CROP) / 2.0)
    left = round((scaled.width - CROP) / 2.0)
    pixels = np.asarray(scaled.crop((left, top, left + CROP, top + CROP)))
    try:
        from torchvision import transforms
    except (ImportError, RuntimeError):  # the latter: of another build of torch
        return pixels
    crop = transforms.Compose([transforms.Resize(SIZE), transforms.CenterCrop(CROP)])
    np.testing.assert_array_equal(pixels, np.asarray(crop(image)))
    return pixels


def found(content):
    out = np.empty((SIZE, SIZE, 3), np.uint8)
    decoding.read_into(content, out, bilinear=True)
    edge = (SIZE - CROP) // 2
    return out[edge:-edge, edge:-edge].astype(int)


@pytest.mark.parametrize(
    "height, width",
    [(300, 400), (401, 300), (256, 256), (256, 301), (100, 70), (899, 500), (257, 263)],
)
def test_pixels_of_any_shape(height, width):
    """Larger and smaller, odd margins; of PNG to the bit."""
    rng = np.random.default_rng(height)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    content = encoded(pixels, "PNG")
    np.testing.assert_array_equal(found(content), expected(content))


def test_photographs(test_data):
    """Within 1 grey level, since JPEG decoders may round differently; our own filter
    is far from it."""
    path = test_data / "ilsvrc2012_sample" / "ILSVRC2012_img_val.tar"
    with tarfile.open(path) as tar:
        for name in sorted(tar.getnames())[:100]:
            content = tar.extractfile(name).read()
            target = expected(content).astype(int)
            assert np.abs(found(content) - target).max() <= 1, name
    out = np.empty((SIZE, SIZE, 3), np.uint8)
    decoding.read_into(content, out)
    assert np.abs(out[16:-16, 16:-16].astype(int) - target).max() > 5


def test_the_preset_chooses_it(tmp_path):
    """For pictures of users; the other presets keep their filter."""
    content = encoded(picture(0, 300, 400), "PNG")
    (tmp_path / "one.png").write_bytes(content)
    config = presets.TORCHVISION_ALEXNET
    source = user_images.open_inputs(
        config, [tmp_path / "one.png"], dataset=None, split=None, data_dir=None
    )
    out = np.empty((1, SIZE, SIZE, 3), np.uint8)
    source.read(np.array([0]), out[:], np.empty(1, np.int32))
    np.testing.assert_array_equal(out[0, 16:-16, 16:-16], expected(content))
    for name, preset in presets.PRESETS.items():
        assert preset.data.bilinear == (name == "torchvision_alexnet")


def test_squashed_by_the_same_filter():
    pixels = picture(1, 90, 140)
    out = np.empty((48, 48, 3), np.uint8)
    picture_reading.read_into(pixels, out, squash=True, bilinear=True)
    whole = Image.fromarray(pixels).resize((48, 48), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(out, np.asarray(whole))


def test_the_description_says_so():
    from alexnet_jax.weights import torchvision
    from alexnet_jax.weights.network import Network, describe_input

    config = presets.TORCHVISION_ALEXNET
    network = Network(
        name="x", config=config, params={}, mean_image=torchvision.mean_image(config)
    )
    assert "by Pillow's bilinear filter" in describe_input(network)
    data = dataclasses.replace(config.data, bilinear=False)
    other = dataclasses.replace(network, config=dataclasses.replace(config, data=data))
    assert "Pillow" not in describe_input(other)
