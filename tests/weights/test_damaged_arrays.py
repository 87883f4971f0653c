"""Damaged NumPy files that lead to unusual errors, found by a campaign."""

import io
import zipfile

import numpy as np
import pytest

from alexnet_jax import presets
from alexnet_jax.errors import UserError
from alexnet_jax.weights import caffe, npz


def test_a_header_that_is_no_python(tmp_path):
    """numpy passes it to Python's tokenizer, which has an error of its own."""
    content = io.BytesIO()
    np.save(content, np.ones(3))
    damaged = content.getvalue().replace(b"(3,)", b"(3,(")
    path = tmp_path / "net.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("conv1_w.npy", damaged)
    with pytest.raises(UserError, match="net.npz is not a numpy archive, or is damag"):
        npz.read(path)


@pytest.mark.parametrize("what", ["archive", "text"])
def test_a_mean_that_is_no_array_of_numbers(what, tmp_path):
    path = tmp_path / "mean.npy"
    with path.open("wb") as file:
        if what == "archive":
            np.savez(file, mean=np.ones(3))
        else:
            np.save(file, np.array(["blue", "green", "red"]))
    with pytest.raises(UserError, match="mean.npy holds no array of numbers"):
        caffe.read_mean_image(path, presets.CAFFENET)
