"""convolution.py: the definition, and gradients in either form."""

import itertools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax.convolution import convolve
from alexnet_jax.system import devices

# Height of the image, channels, channels seen, features, window, stride, padding.
SHAPES = [
    (11, 3, 3, 4, 5, 4, (0, 3)),
    (6, 4, 4, 6, 3, 1, (1, 1)),
    (6, 4, 2, 6, 3, 1, (1, 1)),
    (7, 2, 2, 2, 3, 2, (1, 0)),
]


def arrays(shape):
    size, channels, seen, features, window, *_ = shape
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2, size, size + 1, channels))
    return x, generator.normal(size=(window, window, seen, features))


def by_definition(x, kernel, stride, padding):
    """Sums over windows, in NumPy."""
    window, _, seen, features = kernel.shape
    x = np.pad(x, ((0, 0), padding, padding, (0, 0)))
    rows, columns = ((n - window) // stride + 1 for n in x.shape[1:3])
    y = np.zeros((len(x), rows, columns, features))
    groups = x.shape[-1] // seen
    for i, j, f in itertools.product(range(rows), range(columns), range(features)):
        first = f // (features // groups) * seen
        part = x[:, stride * i :, stride * j :][:, :window, :window]
        part = part[..., first : first + seen]
        y[:, i, j, f] = (part * kernel[..., f]).sum(axis=(1, 2, 3))
    return y


def single(*arrays):
    return [jnp.asarray(array, jnp.float32) for array in arrays]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_definition(shape):
    x, kernel = arrays(shape)
    y = convolve(*single(x, kernel), *shape[-2:])
    np.testing.assert_allclose(y, by_definition(x, kernel, *shape[-2:]), atol=1e-4)


@pytest.mark.parametrize("has_onednn", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_gradients(shape, has_onednn, monkeypatch):
    """The definition is linear: <gradient of x, dx> = <gradient, y(dx)>."""
    monkeypatch.setattr(devices, "has_onednn", lambda: has_onednn)
    jax.clear_caches()
    x, kernel = arrays(shape)
    dx, dkernel = x[::-1, ::-1], kernel[::-1]
    y, gradients = jax.vjp(lambda *a: convolve(*a, *shape[-2:]), *single(x, kernel))
    weights = np.random.default_rng(1).normal(size=y.shape)
    of_x, of_kernel = gradients(*single(weights))
    for found, expected in (
        (of_x * dx, by_definition(dx, kernel, *shape[-2:])),
        (of_kernel * dkernel, by_definition(x, dkernel, *shape[-2:])),
    ):
        exact = (weights * expected).sum()
        np.testing.assert_allclose(np.sum(found), exact, rtol=1e-4, atol=1e-3)


IN_ONE_PROCESS = """
import jax, jax.numpy as jnp
from alexnet_jax.convolution import convolve
from alexnet_jax.system import devices
x, kernel = jnp.ones((8, 16, 16, 8)), jnp.ones((5, 5, 8, 8))
def loss(x, kernel):
    return convolve(x, kernel, 1, (2, 2)).sum()
for function in (loss, jax.grad(loss, 0), jax.grad(loss, 1)):
    program = jax.jit(function, compiler_options=devices.compiler_options())
    text = program.lower(x, kernel).compile().as_text()
    print(text.count('custom_call_target="__onednn$convolution"'))
"""


@pytest.mark.skipif(jax.__version_info__ < (0, 12), reason="needs JAX 0.12")
def test_what_onednn_computes():
    """The convolution and the gradient of x, but not that of the kernel."""
    option = "--xla_cpu_experimental_onednn_custom_call=true"
    printed = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS],
        env=os.environ | {"XLA_FLAGS": option, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.split() == ["1", "1", "0"]
