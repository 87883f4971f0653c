"""image_statistics.py against a direct computation in float64."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest

from alexnet_jax.config import DataConfig
from alexnet_jax.data import image_statistics
from alexnet_jax.data.source import open_source
from alexnet_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Noise:
    """600 images in memory: more than two chunks, of three correlated channels."""

    num_examples: int = 600
    image_size: int = 12
    fingerprint: str = "noise"
    directory: Path = Path("nowhere")
    skip_damaged: bool = False

    def pixels(self):
        generator = np.random.default_rng(0)
        shape = (self.num_examples, self.image_size, self.image_size, 3)
        grey = generator.integers(0, 200, shape[:3])[..., None]
        return (grey + generator.integers(0, 56, shape)).astype(np.uint8)

    def read(self, indices, image, label):
        image[:] = self.pixels()[indices]
        label[:] = 0


def test_equals_direct_computation():
    found = image_statistics.compute(Noise(), num_workers=2)
    pixels = Noise().pixels().astype(np.float64)
    np.testing.assert_allclose(found.mean_image, pixels.mean(axis=0), rtol=1e-6)
    expected = np.cov(pixels.reshape(-1, 3), rowvar=False, ddof=0)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-9)


def test_principal_components_rebuild_the_covariance():
    covariance = image_statistics.compute(Noise(), num_workers=1).covariance
    stddev, direction = image_statistics.principal_components(covariance)
    assert (np.diff(stddev) <= 0).all()
    rebuilt = direction.T @ np.diag(stddev**2) @ direction
    np.testing.assert_allclose(rebuilt, covariance, rtol=1e-4, atol=1e-2)
    assert (direction[np.arange(3), np.abs(direction).argmax(axis=1)] > 0).all()


def test_grey_images_have_one_component(digits_dir):
    settings = DataConfig(name="digits", data_dir=digits_dir, image_size=8)
    source = open_source(settings, "train")
    found = image_statistics.compute(source, num_workers=2)
    stddev, direction = image_statistics.principal_components(found.covariance)
    np.testing.assert_allclose(stddev[1:], 0, atol=1e-4)
    np.testing.assert_allclose(direction[0], 3**-0.5, rtol=1e-5)


def test_stored_once(tmp_path, monkeypatch):
    path = tmp_path / "statistics.npz"
    first = image_statistics.load_or_compute(Noise(), path, num_workers=1)
    monkeypatch.setattr(image_statistics, "compute", None)  # a second pass would fail
    second = image_statistics.load_or_compute(Noise(), path, num_workers=1)
    np.testing.assert_array_equal(first.mean_image, second.mean_image)
    np.testing.assert_array_equal(first.covariance, second.covariance)


def test_statistics_of_another_dataset_are_refused(tmp_path):
    path = tmp_path / "statistics.npz"
    image_statistics.load_or_compute(Noise(), path, num_workers=1)
    with pytest.raises(UserError, match="of noise, and the run has other"):
        image_statistics.load_or_compute(
            Noise(fingerprint="other"), path, num_workers=1
        )


def damaged_files():
    """np.load raises a different exception for each of these."""
    for value in (np.ones(3), {"mean_image": 1}):
        content = io.BytesIO()
        np.save(content, value, allow_pickle=True)  # type: ignore[arg-type]
        yield content.getvalue()
    names = ("mean_image", "covariance", "fingerprint")
    content = io.BytesIO()
    np.savez(content, **{name: np.ones(3) for name in names})  # type: ignore[arg-type]
    yield content.getvalue()
    yield content.getvalue()[:-30]
    yield content.getvalue().replace(b"NUMPY", b"NUMPI")
    yield from (b"", b"text", b"PK\x03\x04 and then nothing")


@pytest.mark.parametrize("content", list(damaged_files()))
def test_damaged_file(tmp_path, content):
    path = tmp_path / "statistics.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="statistics.npz is damaged.*delete it"):
        image_statistics.load_or_compute(Noise(), path, num_workers=1)


def test_cifar10_directions(test_data):
    """On real photographs the first component is near grey and much the largest."""
    folder = str(test_data / "tfds")
    settings = DataConfig(name="cifar10", data_dir=folder, image_size=32)
    source = open_source(settings, "test")
    covariance = image_statistics.compute(source, num_workers=2).covariance
    stddev, direction = image_statistics.principal_components(covariance)
    assert stddev[0] > 3 * stddev[1]
    np.testing.assert_allclose(direction[0], 3**-0.5, atol=0.05)
