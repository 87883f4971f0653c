"""A CIFAR-10 net as a Flax module."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from alexnet_jax import pooling, response_norm
from alexnet_jax.bias import plus_bias
from alexnet_jax.config import Pool
from alexnet_jax.convolution import convolve
from alexnet_jax.system import devices
from experiments.cuda_convnet.layers import average_pool, local
from experiments.cuda_convnet.nets import (
    Activation,
    AveragePool,
    Conv,
    CrossMapNorm,
    Dense,
    Layer,
    Local,
    MaxPool,
    SameMapNorm,
)


class CifarNet(nn.Module):
    """Applies the layers of a net in order."""

    layers: tuple[Layer, ...]
    activation: Activation = "relu"

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """Logits, `[batch, 10]`.

        Args:
            image: float32 `[batch, size, size, 3]`, 0-255 minus mean.
        """
        activation = nn.relu if self.activation == "relu" else jnp.tanh
        x = image
        for layer in self.layers:
            x = apply(layer, x, activation)
        return x


def apply(
    layer: Layer, x: jax.Array, activation: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    """Applies one layer to `[batch, height, width, channels]`, in a compact module."""
    match layer:
        case Conv():
            x = Convolution(layer.features, layer.std, name=layer.name)(x)
            return activation(x) if layer.activate else x
        case Local():
            x = LocallyConnected(layer.features, layer.std, name=layer.name)(x)
            return activation(x)
        case Dense():
            x = nn.Dense(
                layer.features,
                kernel_init=nn.initializers.normal(layer.std),
                name=layer.name,
            )(x.reshape(len(x), -1))
            return activation(x) if layer.activate else x
        case MaxPool():
            x = pooling.max_pool(x, Pool(window=3, stride=2))
            return activation(x) if layer.activate else x
        case AveragePool():
            return average_pool(x)
        case CrossMapNorm() | SameMapNorm():
            return normalize(layer, x)


def normalize(norm: CrossMapNorm | SameMapNorm, x: jax.Array) -> jax.Array:
    """y = x / (1 + a * sum of x^2 over the window)^0.75 (2012 code, layer.py)."""
    if isinstance(norm, CrossMapNorm):
        return response_norm.local_response_norm(
            x,
            size=norm.size,
            k=1.0,
            alpha=norm.alpha,
            beta=0.75,
            alpha_divided_by_n=True,
            num_columns=1,
        )
    return response_norm.spatial_response_norm(
        x,
        size=norm.size,
        k=1.0,
        alpha=norm.alpha,
        beta=0.75,
        alpha_divided_by_n=True,
    )


class Convolution(nn.Module):
    """Kernels of 5x5 pixels, with the gradients of the package's own layers."""

    features: int
    std: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (5, 5, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.normal(self.std), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        y: jax.Array = convolve(x, kernel, 1, (2, 2))
        if devices.has_onednn():
            return plus_bias(y, bias)
        # Without oneDNN plus_bias is the slower one for these nets: on two cores a step
        # of 80sec took 91 ms instead of 79.
        return y + bias[None, None, None]


class LocallyConnected(nn.Module):
    """`layers.local` with a separate bias for every output."""

    features: int
    std: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        _, height, width, channels = x.shape
        kernel = self.param(
            "kernel",
            nn.initializers.normal(self.std),
            (height, width, 3, 3, channels, self.features),
        )
        shape = (height, width, self.features)
        bias = self.param("bias", nn.initializers.zeros, shape)
        return local(x, kernel) + bias[None]
