"""LPIPS against the package of its authors, on the same random network."""

import sys
import types
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import alexnet_jax
from alexnet_jax import presets
from alexnet_jax.errors import UserError
from alexnet_jax.weights import any_format, parameter_shapes

MAPS = (64, 192, 384, 256, 256)


def images(seed, batch=2, height=64, width=80):
    """Smooth pictures with noise, on -1 to 1."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(-1, 1, (batch, height // 8, width // 8, 3))
    smooth = np.repeat(np.repeat(small, 8, 1), 8, 2)
    noisy = smooth + rng.normal(0, 0.1, smooth.shape)
    return np.clip(noisy, -1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def params():
    """Random, of the size that keeps activations alive."""
    shapes = parameter_shapes.shapes(presets.TORCHVISION_ALEXNET)
    rng = np.random.default_rng(0)

    def drawn(shape):
        inputs = np.prod(shape[:-1]) if len(shape) > 1 else 100
        return rng.normal(0, (2 / inputs) ** 0.5, shape).astype(np.float32)

    return {
        layer: {kind: drawn(shape) for kind, shape in kinds.items()}
        for layer, kinds in shapes.items()
        if layer.startswith("conv")
    }


@pytest.fixture
def heads(tmp_path):
    rng = np.random.default_rng(1)
    arrays = {
        f"lin{i}.model.1.weight": rng.uniform(0, 1, (1, maps, 1, 1)).astype(np.float32)
        for i, maps in enumerate(MAPS)
    }
    save_file(arrays, tmp_path / "heads.safetensors")
    return alexnet_jax.lpips_heads(tmp_path / "heads.safetensors")


def features_alone():
    """torchvision as far as the package lpips uses it: the layers of its AlexNet, for
    builds of torch that torchvision does not fit."""
    from torch import nn

    def alexnet(pretrained):
        assert not pretrained
        one, two, *rest = zip((3, *MAPS), MAPS, strict=False)
        layers = [nn.Conv2d(*one, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
        layers += [nn.Conv2d(*two, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
        for pair in rest:
            layers += [nn.Conv2d(*pair, 3, padding=1), nn.ReLU()]
        return types.SimpleNamespace(features=nn.Sequential(*layers))

    module = types.ModuleType("torchvision")
    module.models = types.SimpleNamespace(alexnet=alexnet)
    return module


@pytest.fixture(scope="module")
def reference():
    """The authors' module with random features and their own heads."""
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # of torchvision, about its old arguments
        try:
            import torchvision  # noqa: F401
        except (ImportError, RuntimeError):
            patch.setitem(sys.modules, "torchvision", features_alone())
        package = pytest.importorskip("lpips", reason="lpips is not installed")
        torch.manual_seed(0)
        module = package.LPIPS(net="alex", pnet_rand=True, verbose=False)
    for name, tensor in module.net.state_dict().items():
        if name.endswith("weight"):  # PyTorch's own are a third of this
            torch.nn.init.kaiming_normal_(tensor)
    return module, Path(package.__file__).parent / "weights" / "v0.1" / "alex.pth"


@pytest.fixture(scope="module")
def converted(reference, tmp_path_factory):
    """The features of the authors' module, by torchvision's names, and the heads."""
    module, path = reference
    state = {
        f"features.{name.split('.', 1)[1]}": tensor.numpy()
        for name, tensor in module.net.state_dict().items()
    }
    file = tmp_path_factory.mktemp("lpips") / "features.safetensors"
    save_file(state, file)
    network = any_format.read(file, any_format.Hints())
    return network.params, alexnet_jax.lpips_heads(path)


def of_reference(module, *batches):
    import torch

    return [torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) for x in batches]


def test_equals_the_package(reference, converted):
    a, b = images(0), images(1)
    near = np.clip(a + 0.02, -1, 1)
    for other in (b, near):
        tensors = of_reference(reference[0], a, other)
        expected = reference[0](*tensors).detach().numpy().ravel()
        found = alexnet_jax.lpips(*converted, a, other)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert found.dtype == jnp.float32 and found.shape == (2,)
        assert (expected > 1e-5).all()


def test_gradient_equals_that_of_the_package(reference, converted):
    import torch

    a, b = images(2), images(3)
    x, y = of_reference(reference[0], a, b)
    x.requires_grad_(True)
    reference[0](x, y).sum().backward()
    expected = x.grad.numpy().transpose(0, 2, 3, 1)
    found = jax.grad(lambda a: jnp.sum(alexnet_jax.lpips(*converted, a, b)))(a)
    scale = np.abs(expected).max()
    assert scale > 0 and torch.isfinite(x.grad).all()
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-4)


def test_properties(params, heads):
    """0 for equal images, symmetric, the same compiled, each image for itself."""
    a, b = images(0, batch=3), images(1, batch=3)
    distance = alexnet_jax.lpips(params, heads, a, b)
    assert (np.asarray(alexnet_jax.lpips(params, heads, a, a)) == 0).all()
    assert (np.asarray(distance) > 0.01).all()
    swapped = alexnet_jax.lpips(params, heads, b, a)
    np.testing.assert_allclose(swapped, distance, rtol=1e-5)
    compiled = jax.jit(alexnet_jax.lpips)(params, heads, a, b)
    np.testing.assert_allclose(compiled, distance, rtol=1e-5)
    alone = alexnet_jax.lpips(params, heads, a[1:2], b[1:2])
    np.testing.assert_allclose(alone, distance[1:2], rtol=1e-5)


def test_the_gradient_is_finite_where_no_unit_is_active(params, heads):
    """Biases so low that conv5 is 0 everywhere."""
    dead = params | {"conv5": params["conv5"] | {"bias": np.full(256, -1e3, "f4")}}
    a, b = images(0), images(1)
    gradient = jax.grad(lambda a: jnp.sum(alexnet_jax.lpips(dead, heads, a, b)))(a)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_a_step_along_the_gradient_lowers_the_distance(params, heads):
    a, b = images(0), images(1)

    def distance(a):
        return jnp.sum(alexnet_jax.lpips(params, heads, a, b))

    value, gradient = jax.value_and_grad(distance)(a)
    step = 1e-3 * value / jnp.sum(jnp.square(gradient))
    np.testing.assert_allclose(distance(a - step * gradient), 0.999 * value, rtol=2e-4)


def test_mistakes(params, heads, tmp_path):
    a = images(0)
    small = a[:, :24, :24]
    wrong = params | {"conv3": params["conv2"]}
    for arguments, message in (
        ((params, heads, a[0], a[0]), r"float32 \[64, 80, 3\]: expected two equal"),
        ((params, heads, a, a[:1]), "expected two equal shapes"),
        ((params, heads, a.astype(np.uint8), a), "images of uint8"),
        ((params, heads, small, small), "24 x 24 pixels are too small"),
        ((wrong, heads, a, a), r"kernel of conv3 is \(5, 5, 64, 192\)"),
        (({}, heads, a, a), "kernel of conv1 is missing"),
    ):
        with pytest.raises(UserError, match=message):
            alexnet_jax.lpips(*arguments)
    with pytest.raises(UserError, match="does not exist: name alex.pth"):
        alexnet_jax.lpips_heads(tmp_path / "alex.pth")
    save_file(
        {"lin0.model.1.weight": np.ones((1, 3, 1, 1), "f4")}, tmp_path / "x.safetensors"
    )
    with pytest.raises(UserError, match=r"\[1, 3, 1, 1\] and should be \[1, 64, 1, 1"):
        alexnet_jax.lpips_heads(tmp_path / "x.safetensors")


def test_the_smallest_images(params, heads):
    """What the message calls too small is too small, and no more."""
    a, b = images(0)[:, :31, :31], images(1)[:, :31, :31]
    assert np.isfinite(alexnet_jax.lpips(params, heads, a, b)).all()
    with pytest.raises(UserError, match="too small"):
        alexnet_jax.lpips(params, heads, a[:, :30], b[:, :30])
