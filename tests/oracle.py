"""The network once more, written apart from the package: grouped convolutions in global
view, normalisation by loops, the update rule of the paper in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

GROUPED = {"conv2", "conv4", "conv5"}


def local_response_norm(x, size, k, scale, beta, num_columns):
    """By loops over maps, in float64: the paper's formula as it is printed."""
    x = np.asarray(x, np.float64)
    channels = x.shape[-1]
    width = channels // num_columns
    y = np.empty_like(x)
    for i in range(channels):
        column = i // width
        total = np.zeros(x.shape[:-1])
        for j in range(i - size // 2, i + size // 2 + 1):
            if column * width <= j < (column + 1) * width:
                total += x[..., j] ** 2
        y[..., i] = x[..., i] / (k + scale * total) ** beta
    return y


def spatial_response_norm(x, size, k, scale, beta):
    """By loops over pixels, in float64."""
    x = np.asarray(x, np.float64)
    _, height, width, _ = x.shape
    y = np.empty_like(x)
    for row in range(height):
        for column in range(width):
            window = x[
                :,
                max(0, row - size // 2) : row + size // 2 + 1,
                max(0, column - size // 2) : column + size // 2 + 1,
            ]
            total = (window**2).sum(axis=(1, 2))
            y[:, row, column] = x[:, row, column] / (k + scale * total) ** beta
    return y


def logits(params, image, net):
    """alexnet2012's graph (LRN before ReLU in layer 1, LRN and spatial norm after it in
    layer 2), without dropout, by grouped convolutions that span both columns."""
    x = image
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        layer = getattr(net, name)
        x = lax.conv_general_dilated(
            x,
            params[name]["kernel"],
            (layer.stride, layer.stride),
            [layer.padding, layer.padding],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=2 if name in GROUPED else 1,
        )
        x = x + params[name]["bias"].reshape(1, 1, 1, -1)
        if name == "conv1":
            x = _norm_over_maps(x)
        x = jnp.maximum(x, 0.0)
        if name == "conv2":
            x = _norm_over_pixels(_norm_over_maps(x))
        if name in ("conv1", "conv2", "conv5"):
            x = _max_pool_3_2(x)
    x = jnp.maximum(_dense(x, params["fc6"]), 0.0)
    x = jnp.maximum(_dense(x, params["fc7"]), 0.0)
    return _dense(x, params["fc8"])


def _dense(x, layer):
    product = jnp.tensordot(x, layer["kernel"], axes=x.ndim - 1)
    return product + layer["bias"].reshape(1, -1)


def _norm_over_maps(x):
    """2012: n = 5, k = 2, alpha = 1e-4 / n, beta = 0.75, by a band matrix of each
    column's maps."""
    channels = x.shape[-1]
    i, j = np.indices((channels, channels))
    same_column = i // (channels // 2) == j // (channels // 2)
    band = jnp.asarray(((abs(i - j) <= 2) & same_column).astype(np.float32))
    return x / (2.0 + 1e-4 / 5 * (x * x) @ band) ** 0.75


def _norm_over_pixels(x):
    """2012: 5x5 pixels, k = 1, alpha = 1e-3 / 25, beta = 0.75."""
    ones = jnp.ones((5, 5, 1, x.shape[-1]))
    total = lax.conv_general_dilated(
        x * x,
        ones,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )
    return x / (1.0 + 1e-3 / 25 * total) ** 0.75


def _max_pool_3_2(x):
    """Maximum of the nine shifted slices; sizes round up, the edge is -infinity."""
    size = -(-(x.shape[1] - 3) // 2) + 1
    padded = jnp.pad(x, ((0, 0), (0, 2), (0, 2), (0, 0)), constant_values=float("-inf"))
    end = 2 * (size - 1) + 1
    shifted = [
        padded[:, row : row + end : 2, column : column + end : 2]
        for row in range(3)
        for column in range(3)
    ]
    return jnp.max(jnp.stack(shifted), axis=0)


def loss(params, image, label, net):
    """Mean negative log-likelihood."""
    log_probability = jax.nn.log_softmax(logits(params, image, net))
    return -jnp.mean(jnp.take_along_axis(log_probability, label[:, None], axis=1))


class PaperUpdate:
    """Section 5 of the paper, in numpy float32: v <- 0.9 v - 0.0005 rate w - rate g and
    w <- w + v, with a rate of their own and no decay for biases."""

    def __init__(self, params):
        self.velocity = jax.tree.map(lambda w: np.zeros(w.shape, np.float32), params)

    def __call__(self, params, gradients, kernel_rate, bias_rate):
        new = {}
        for layer, arrays in params.items():
            new[layer] = {}
            for kind, w in arrays.items():
                is_kernel = kind == "kernel"
                rate = np.float32(kernel_rate if is_kernel else bias_rate)
                decay = np.float32(0.0005 if is_kernel else 0.0)
                w = np.asarray(w)
                v = np.float32(0.9) * self.velocity[layer][kind]
                v = v - decay * rate * w - rate * np.asarray(gradients[layer][kind])
                self.velocity[layer][kind] = v
                new[layer][kind] = w + v
        return new
