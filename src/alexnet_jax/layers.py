"""The layers of 2012 that no library has in this form.

Response normalisation over maps and over pixels (paper section 3.3 and the 2012 code),
dropout as a plain mask (section 4.2), and a fully connected layer that keeps the
columns apart. Convolution is Flax's; pooling is in `pooling.py`.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from alexnet_jax import columns
from alexnet_jax.config import Norm, Position, Sees


def local_response_norm(
    x: jax.Array,
    *,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    alpha_divided_by_n: bool,
    num_columns: int,
) -> jax.Array:
    """Response normalisation over neighbouring maps (paper section 3.3).

    y_i = x_i / (k + a * sum_{j=i-n//2}^{i+n//2} x_j^2)^beta, with n = size, the sum
    truncated at the edges of the column, and a = alpha / n (2012 code, Caffe, PyTorch)
    or a = alpha (the paper's text, TensorFlow).

    Args:
        x: `[..., channels]`; alpha assumes activations of pixels on 0-255.
        num_columns: number of columns of channels; windows end at column boundaries.

    Returns:
        An array of the shape and dtype of x.
    """
    grouped = x.reshape(*x.shape[:-1], num_columns, x.shape[-1] // num_columns)
    grouped = grouped.astype(jnp.float32)  # bfloat16 is too coarse for the sums
    total = _windowed_sum(jnp.square(grouped), size, axes=(-1,))
    scale = alpha / size if alpha_divided_by_n else alpha
    y = grouped * _inverse_power(k + scale * total, beta)
    return y.reshape(x.shape).astype(x.dtype)


def spatial_response_norm(
    x: jax.Array,
    *,
    size: int,
    k: float,
    alpha: float,
    beta: float,
    alpha_divided_by_n: bool,
) -> jax.Array:
    """Response normalisation over neighbouring pixels of the same map.

    y = x / (k + a * sum of x^2 over size x size pixels)^beta, the sum truncated at the
    edges of the map, a = alpha / size^2 (2012 code, layer.py, also at the edges) or
    a = alpha. Configuration 145 has it in layer 2; the paper does not mention it.

    Args:
        x: `[batch, height, width, channels]`.

    Returns:
        An array of the shape and dtype of x.
    """
    precise = x.astype(jnp.float32)  # bfloat16 is too coarse for the sums
    total = _windowed_sum(jnp.square(precise), size, axes=(-3, -2))
    scale = alpha / size**2 if alpha_divided_by_n else alpha
    return (precise * _inverse_power(k + scale * total, beta)).astype(x.dtype)


def _windowed_sum(x: jax.Array, size: int, axes: tuple[int, ...]) -> jax.Array:
    """Sums over a window around each entry, along one axis after the other."""
    before = size // 2
    for axis in axes:
        window, edges = [1] * x.ndim, [(0, 0)] * x.ndim
        window[axis], edges[axis] = size, (before, size - 1 - before)
        x = lax.reduce_window(x, 0.0, lax.add, window, [1] * x.ndim, edges)
    return x


def _inverse_power(y: jax.Array, beta: float) -> jax.Array:
    """y^-beta; for beta = 0.75 by square roots, several times as fast as a power."""
    if beta == 0.75:
        root = lax.rsqrt(y)
        return root * jnp.sqrt(root)
    return y**-beta


def normalize(
    x: jax.Array, local: Norm, spatial: Norm, position: Position, num_columns: int
) -> jax.Array:
    """Applies the normalisations at `position`, over maps first."""
    if local.position == position:
        x = local_response_norm(
            x,
            size=local.size,
            k=local.k,
            alpha=local.alpha,
            beta=local.beta,
            alpha_divided_by_n=local.alpha_divided_by_n,
            num_columns=1 if local.across_columns else num_columns,
        )
    if spatial.position == position:
        x = spatial_response_norm(
            x,
            size=spatial.size,
            k=spatial.k,
            alpha=spatial.alpha,
            beta=spatial.beta,
            alpha_divided_by_n=spatial.alpha_divided_by_n,
        )
    return x


def dropout(
    x: jax.Array,
    *,
    variant: str,
    rate: float,
    train: bool,
    make_key: Callable[[], jax.Array],
) -> jax.Array:
    """Sets units to zero with probability `rate` in training (paper section 4.2).

    Variant "2012": y = mask * x in training, y = (1 - rate) * x in testing. Variant
    "inverted" (Flax, PyTorch): y = mask * x / (1 - rate) in training, y = x in testing.
    Variant "mean", which drops nothing: y = (1 - rate) * x, the mean of variant "2012"
    over the masks, in training and testing. The mask depends on the key and the shape,
    never on the devices.

    Args:
        x: `[batch, units]`.
        make_key: returns the key; called only where a mask is drawn.
    """
    keep = 1.0 - rate
    is_inverted = variant == "inverted"
    if variant == "mean" or not train:
        return x if is_inverted else x * keep
    mask = jax.random.bernoulli(make_key(), keep, x.shape)
    return jnp.where(mask, x / keep if is_inverted else x, jnp.zeros((), x.dtype))


class Dense(nn.Module):
    """A fully connected layer over `[batch, ..., channels]`, by columns.

    Its kernel is `[..., channels seen, features]`, `[6, 6, 256, 4096]` in fc6: channels
    stay an axis of their own, so the columns stay apart.
    """

    features: int
    sees: Sees
    num_columns: int
    kernel_init: nn.initializers.Initializer
    bias_init: nn.initializers.Initializer
    dtype: Any
    """Dtype of the product; parameters are float32."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1] // (self.num_columns if self.sees == "own" else 1)
        shape = (*x.shape[1:-1], channels, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", self.bias_init, (self.features,))
        y = columns.matrix_product(
            x, kernel.astype(self.dtype), sees=self.sees, num_columns=self.num_columns
        )
        return y + bias[None].astype(self.dtype)
