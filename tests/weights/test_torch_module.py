"""PyTorch modules that convert writes, against alexnet_jax. Skipped without torch."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from any_network import (
    CONFIGS,
    DIGITS,
    assert_same,
    random_images,
    random_network,
    random_views,
    stages,
)

import alexnet_jax
from alexnet_jax import augment, convert
from alexnet_jax.errors import UserError
from alexnet_jax.weights import torch_module
from benchmarks import parity

torch = pytest.importorskip("torch", reason="torch is not installed")


def written(network, folder):
    """The module of a network, imported and with its weights."""
    path = folder / "twin.py"
    torch_module.write(path, network)
    return parity.imported(path).AlexNet.load()


def hooked(model, network, view):
    """What hooks on the modules see, by the names of our stages, and the output."""
    found = parity.hooked(model, network)
    with torch.no_grad():
        output = model(torch.from_numpy(view.transpose(0, 3, 1, 2).copy())).numpy()
    units = {name: array for name, array in found.items() if name.startswith("fc")}
    found |= {name: array.reshape(len(view), -1) for name, array in units.items()}
    return parity.channels_last(found), output


@pytest.mark.parametrize("name", CONFIGS)
def test_stages(name, tmp_path):
    """Hooks see every stage of every layer, in batches of 1 and 17."""
    network = random_network(CONFIGS[name])
    model = written(network, tmp_path)
    view = random_views(network.config, 17)
    expected = stages(network, view)
    for batch in (1, 17):
        found, output = hooked(model, network, view[:batch])
        assert_same(found, {stage: array[:batch] for stage, array in expected.items()})
        np.testing.assert_array_equal(output, found["fc8.linear"])


@pytest.mark.parametrize("last", ["conv2", "conv5", "fc6"])
def test_without_the_last_layers(last, tmp_path):
    network = random_network(DIGITS, last=last)
    view = random_views(DIGITS, 2)
    found, _ = hooked(written(network, tmp_path), network, view)
    assert_same(found, stages(network, view))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_text(name, tmp_path):
    """As ruff would have it, with short lines, and all modules are used."""
    network = random_network(CONFIGS[name])
    text = torch_module.source(tmp_path / "twin.py", network)
    assert max(map(len, text.splitlines())) <= 88
    begin = text.index("class AlexNet")
    for line in text[begin:].splitlines():
        if line.strip().startswith("self.") and " = " in line:
            used = line.split(" = ")[0].strip()
            assert f"{used}(" in text, used
    if name in ("torchvision_alexnet", "caffenet"):
        assert "class LocalNorm" not in text and "class SpatialNorm" not in text
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is not installed")
    options = ["--isolated", "--line-length", "88", "-"]
    for command in (["check"], ["format", "--diff"]):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *options],
            input=text,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_it_needs_nothing_of_ours(tmp_path):
    """In a process that cannot import JAX or this package, from uint8 images."""
    convert.run(
        convert.Options(source="digits", dest=tmp_path / "twin.py", torch_module=True)
    )
    image = random_images(DIGITS, 5)
    np.save(tmp_path / "image.npy", image)
    program = """
import sys
sys.modules["jax"] = sys.modules["alexnet_jax"] = None
import numpy, torch, twin
model = twin.AlexNet.load()
image = torch.from_numpy(numpy.load("image.npy"))
with torch.no_grad():
    logits = model(model.preprocess(image))
numpy.save("out.npy", logits.softmax(1).numpy())
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    expected = alexnet_jax.load("digits").predict(image).probabilities
    found = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["torchvision_alexnet", "a scale of pixels"])
def test_preprocessing(name, tmp_path):
    network = random_network(CONFIGS[name])
    model = written(network, tmp_path)
    image = random_images(network.config, 3)
    view = augment.center_view(image, network.mean_image, network.config.augment)
    found = model.preprocess(torch.from_numpy(image)).numpy().transpose(0, 2, 3, 1)
    assert_same({"view": found}, {"view": np.asarray(view)}, limit=1e-6)


def test_refused(tmp_path):
    def options(name, **others):
        return convert.Options(source="digits", dest=tmp_path / name, **others)

    with pytest.raises(UserError, match="or in .py with --torch-module"):
        convert.run(options("twin.py"))
    with pytest.raises(UserError, match="should end in .py with --torch-module"):
        convert.run(options("twin.pth", torch_module=True))
    with pytest.raises(UserError, match="a module of the name 'my-twin'"):
        convert.run(options("my-twin.py", torch_module=True))
    weights = tmp_path / "twin.safetensors"
    weights.write_bytes(b"of others")
    with pytest.raises(UserError, match="twin.safetensors already exists"):
        convert.run(options("twin.py", torch_module=True))
    assert weights.read_bytes() == b"of others"
    assert list(tmp_path.iterdir()) == [weights]


def test_its_weights_are_not_mistaken_for_ours(tmp_path):
    convert.run(
        convert.Options(source="digits", dest=tmp_path / "twin.py", torch_module=True)
    )
    with pytest.raises(UserError, match="the weights of a PyTorch module"):
        convert.run(
            convert.Options(
                source=tmp_path / "twin.safetensors", dest=tmp_path / "a.npz"
            )
        )
