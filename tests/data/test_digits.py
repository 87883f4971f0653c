"""digits.py: every image once, quiet, and safe when several processes come first."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from alexnet_jax.config import DataConfig
from alexnet_jax.data import digits
from alexnet_jax.data.source import open_source
from alexnet_jax.errors import UserError

PREPARE = "import sys; from alexnet_jax.data import digits; digits.prepare({!r})"


def read(folder, split):
    settings = DataConfig(name="digits", data_dir=folder, image_size=8)
    source = open_source(settings, split)
    image = np.empty((source.num_examples, 8, 8, 3), np.uint8)
    label = np.empty(source.num_examples, np.int32)
    source.read(np.arange(source.num_examples), image, label)
    return image, label


def start(code):
    pipe = subprocess.PIPE
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


def test_counts(digits_dir):
    assert len(read(digits_dir, "train")[0]) == 1437
    assert len(read(digits_dir, "test")[0]) == 360


def test_test_images_are_every_fifth(digits_dir):
    image, label = read(digits_dir, "test")
    expected = np.round(load_digits().images[::5] * (255 / 16))
    np.testing.assert_array_equal(image[..., 0], expected)
    np.testing.assert_array_equal(label, load_digits().target[::5])


def test_first_use_is_quiet_and_light(tmp_path):
    """One line, no warnings or progress bars, and no TensorFlow or PyTorch."""
    loaded = "print({'tensorflow', 'torch'} & set(sys.modules))"
    process = start(f"{PREPARE.format(str(tmp_path))}; {loaded}")
    output, errors = process.communicate()
    said = f"preparing the digits in {tmp_path / 'digits' / '1.0.0'}\nset()\n"
    assert (process.returncode, output, errors) == (0, said, "")


def test_processes_may_prepare_at_once(tmp_path):
    processes = [start(PREPARE.format(str(tmp_path))) for _ in range(2)]
    errors = [process.communicate()[1] for process in processes]
    assert errors == ["", ""]
    assert len(read(str(tmp_path), "train")[0]) == 1437
    assert [path.name for path in (tmp_path / "digits").iterdir()] == ["1.0.0"]


def test_a_directory_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="cannot be written to .*--data.data-dir"):
        digits.prepare(str(file))
