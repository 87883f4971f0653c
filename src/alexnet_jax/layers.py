"""The layers of 2012 that no library has in this form.

Response normalisation at its positions, dropout as a plain mask (paper section 4.2),
convolution and fully connected layers by columns. Parameters are float32; results have
the dtype of x. Pooling is in `pooling.py`.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from alexnet_jax import columns
from alexnet_jax.config import Norm, Position, Sees
from alexnet_jax.response_norm import local_response_norm, spatial_response_norm


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


class Conv(nn.Module):
    """A convolution over `[batch, height, width, channels]`, by columns.

    Flax's own would convert its parameters to the dtype of x before the columns are
    spread over devices, and so sum their gradients in bfloat16.
    """

    features: int
    kernel_size: int
    stride: int
    padding: tuple[int, int]
    """Pixels before and after, along both axes."""
    sees: Sees
    num_columns: int
    kernel_init: nn.initializers.Initializer
    bias_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = _channels_seen(x, self.sees, self.num_columns)
        shape = (self.kernel_size, self.kernel_size, channels, self.features)
        return columns.convolution(
            x,
            self.param("kernel", self.kernel_init, shape),
            self.param("bias", self.bias_init, (self.features,)),
            stride=self.stride,
            padding=self.padding,
            sees=self.sees,
            num_columns=self.num_columns,
        )


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

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = _channels_seen(x, self.sees, self.num_columns)
        shape = (*x.shape[1:-1], channels, self.features)
        return columns.matrix_product(
            x,
            self.param("kernel", self.kernel_init, shape),
            self.param("bias", self.bias_init, (self.features,)),
            sees=self.sees,
            num_columns=self.num_columns,
        )


def _channels_seen(x: jax.Array, sees: Sees, num_columns: int) -> int:
    return x.shape[-1] // (num_columns if sees == "own" else 1)
