"""The network: conv1 to conv5, fc6 to fc8, and what each of them sees.

One linen module over ordinary global shapes (paper section 3.5, Figure 2): activations
`[batch, height, width, channels]` with column 0 in the first half of the channels,
kernels of the usual shapes. `config.ModelConfig` defines each layer; `columns` spreads
it over devices. The softmax is in the loss.
"""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from alexnet_jax import layers, pooling
from alexnet_jax.config import ConvLayer, DenseLayer, ModelConfig, Position


class AlexNet(nn.Module):
    """Logits of a batch of images.

    Every stage of a layer is sown into the collection "intermediates" as
    `conv1_linear`, `conv1_norm`, `conv1_activation`, `conv1_pool` and so on. This costs
    nothing unless the collection is requested.
    """

    config: ModelConfig
    last: str = "fc8"
    """The layer after which the computation ends: its output takes the place of the
    logits. A network without its last layers ends earlier."""

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        """Computes the logits.

        Args:
            image: float32 `[batch, height, width, 3]`, RGB on the 0-255 scale, minus
                the mean image.
            train: True for dropout, which needs the random stream "dropout".

        Returns:
            float32 `[batch, classes]`, before the softmax.
        """
        config = self.config
        x = image.astype(self._dtype)
        #                                       alexnet2012: map sizes and channels
        x = self._convolve("conv1", config.conv1, x)  # 55 55  96, pooled 27 27  96
        x = self._convolve("conv2", config.conv2, x)  #     27 27 256, pooled 13 13 256
        x = self._convolve("conv3", config.conv3, x)  #     13 13 384
        x = self._convolve("conv4", config.conv4, x)  #     13 13 384
        x = self._convolve("conv5", config.conv5, x)  #     13 13 256, pooled  6  6 256
        x = self._hidden("fc6", config.fc6, x, train=train)  # 4096
        x = self._hidden("fc7", config.fc7, x, train=train)  # 4096
        return self._dense("fc8", config.fc8, x).astype(jnp.float32)  # 1000

    @property
    def _dtype(self) -> Any:
        return jnp.bfloat16 if self.config.precision == "bfloat16" else jnp.float32

    def _is_beyond_last(self, name: str) -> bool:
        return name > self.last  # names sort in the order of the computation

    def _convolve(self, name: str, layer: ConvLayer, x: jax.Array) -> jax.Array:
        if self._is_beyond_last(name):
            return x
        if name not in self.config.without:
            x = self._convolution(name, layer, x)
            x = self._normalize(name, layer, "before_activation", x)
            x = self._activation(name, x)
            x = self._normalize(name, layer, "after_activation", x)
        pooled = pooling.max_pool(x, layer.pool)
        if pooled is not x:
            self.sow("intermediates", f"{name}_pool", pooled)
        return self._normalize(name, layer, "after_pool", pooled)

    def _convolution(self, name: str, layer: ConvLayer, x: jax.Array) -> jax.Array:
        convolution = layers.Conv(
            layer.features,
            kernel_size=layer.kernel_size,
            stride=layer.stride,
            padding=layer.padding,
            sees=layer.sees,
            num_columns=self.config.num_columns,
            kernel_init=nn.initializers.normal(layer.kernel_std),
            bias_init=nn.initializers.constant(layer.bias),
            name=name,
        )
        x = convolution(x)
        self.sow("intermediates", f"{name}_linear", x)
        return x

    def _normalize(
        self, name: str, layer: ConvLayer, position: Position, x: jax.Array
    ) -> jax.Array:
        local, spatial = layer.local_norm, layer.spatial_norm
        x = layers.normalize(x, local, spatial, position, self.config.num_columns)
        if position in (local.position, spatial.position):
            self.sow("intermediates", f"{name}_norm", x)
        return x

    def _activation(self, name: str, x: jax.Array) -> jax.Array:
        x = nn.relu(x) if self.config.activation == "relu" else jnp.tanh(x)
        self.sow("intermediates", f"{name}_activation", x)
        return x

    def _dense(self, name: str, layer: DenseLayer, x: jax.Array) -> jax.Array:
        if self._is_beyond_last(name):
            return x
        dense = layers.Dense(
            layer.features,
            sees=layer.sees,
            num_columns=self.config.num_columns,
            kernel_init=nn.initializers.normal(layer.kernel_std),
            bias_init=nn.initializers.constant(layer.bias),
            name=name,
        )
        x = dense(x)
        self.sow("intermediates", f"{name}_linear", x)
        return x

    def _hidden(
        self, name: str, layer: DenseLayer, x: jax.Array, *, train: bool
    ) -> jax.Array:
        if name in self.config.without or self._is_beyond_last(name):
            return x
        x = self._activation(name, self._dense(name, layer, x))
        return layers.dropout(
            x,
            variant=self.config.dropout,
            rate=self.config.dropout_rate,
            train=train,
            make_key=lambda: self.make_rng("dropout"),
        )


def logits(
    config: ModelConfig,
    params: Any,
    view: jax.Array,
    *,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Logits of a batch.

    Args:
        params: `{layer: {"kernel", "bias"}}`.
        view: float32 `[batch, crop_size, crop_size, 3]`, 0-255 minus mean.
        dropout_key: None means testing: no unit is dropped.

    Returns:
        float32 `[batch, classes]`.
    """
    train = dropout_key is not None
    rngs = {"dropout": dropout_key} if train else None
    with _precision(config):
        output = AlexNet(config).apply({"params": params}, view, train=train, rngs=rngs)
    return cast(jax.Array, output)


def stages(
    config: ModelConfig, params: Any, view: jax.Array, *, last: str = "fc8"
) -> dict[str, jax.Array]:
    """Every stage of every layer in testing, in the order of the computation.

    Under jit, unused stages cost nothing. Units of fc6 and fc7 are taken before the
    factor that replaces dropout in testing.

    Args:
        params: `{layer: {"kernel", "bias"}}`, of the layers up to `last` at least.
        view: float32 `[batch, crop_size, crop_size, 3]`, 0-255 minus mean.
        last: the last layer to compute.

    Returns:
        "conv1.linear", "conv1.norm", "conv1.activation", "conv1.pool" and so on, as far
        as the layer has them: `[batch, height, width, maps]` or `[batch, units]`.
    """
    with _precision(config):
        _, sown = AlexNet(config, last).apply(
            {"params": params}, view, train=False, mutable=["intermediates"]
        )
    intermediates = cast(Any, sown)["intermediates"]
    # Two normalisations at two positions of a layer sow "norm" twice: the last counts.
    return {
        name.replace("_", "."): values[-1] for name, values in intermediates.items()
    }


def _precision(config: ModelConfig) -> Any:
    """Sets the precision of float32 products; by default XLA may lower it on GPUs."""
    product = "tensorfloat32" if config.precision == "tf32" else "float32"
    return jax.default_matmul_precision(product)
