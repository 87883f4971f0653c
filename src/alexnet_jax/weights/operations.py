"""A network in testing as a list of operations, for writers of other formats.

It says once more what `model.AlexNet` computes, for one image: order and names of the
stages, map sizes, the position of the normalisations, the factor of dropout.
"""

from collections.abc import Iterator
from typing import NamedTuple

from alexnet_jax import pooling
from alexnet_jax.config import (
    CONV_LAYERS,
    DENSE_LAYERS,
    ConvLayer,
    DenseLayer,
    ModelConfig,
    Norm,
    Position,
    Sees,
)
from alexnet_jax.config_checks import map_sizes
from alexnet_jax.weights.network import Network


class Conv(NamedTuple):
    """A convolution."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: tuple[int, int]
    """Zeros before (top, left) and after (bottom, right)."""
    groups: int


class LocalNorm(NamedTuple):
    """Response normalisation over maps: x / (k + alpha * mean of x^2)^beta.

    The mean is over `size` maps, i - size // 2 and what follows, maps beyond the edge
    of their group counting as 0.
    """

    size: int
    k: float
    alpha: float
    beta: float
    maps: int
    """Maps of one group."""
    groups: int


class SpatialNorm(NamedTuple):
    """The same over size x size pixels of one map."""

    size: int
    k: float
    alpha: float
    beta: float


class Activation(NamedTuple):
    """relu or tanh."""

    function: str


class MaxPool(NamedTuple):
    """Maxima of windows."""

    window: int
    stride: int
    ceil: bool
    overhang: int
    """Pixels that the last window extends beyond the edge; see `pooling.overhang`."""


class Dense(NamedTuple):
    """A matrix product. Its inputs are `[batch, maps, side, side]`, flattened map by
    map, or `[batch, maps]`, where `side` is 1."""

    maps: int
    side: int
    outputs: int
    groups: int


class Factor(NamedTuple):
    """Multiplication by the share of the units that dropout keeps."""

    value: float


Kind = Conv | LocalNorm | SpatialNorm | Activation | MaxPool | Dense | Factor


class Operation(NamedTuple):
    """One operation; its input is the output of the one before."""

    layer: str
    stage: str
    """"linear", "norm", "activation" or "pool", as in `model.stages`. The first of two
    normalisations is "local_norm" or "spatial_norm", the factor is "factor"."""
    kind: Kind
    shape: tuple[int, ...]
    """Of its output, for one image: maps, height, width, or units."""

    @property
    def name(self) -> str:
        """ "conv1.linear", for example."""
        return f"{self.layer}.{self.stage}"


def of_network(network: Network) -> list[Operation]:
    """The operations up to the last layer that the network has."""
    model = network.config.model
    found: list[Operation] = []
    channels = 3
    sizes = map_sizes(model, network.config.augment.crop_size)
    for name in CONV_LAYERS:
        if name <= network.last:
            found += _of_conv(model, name, channels, *sizes[name])
            channels = channels if name in model.without else found[-1].shape[0]
    shape = (channels, *2 * sizes["conv5"][1:])
    for name in DENSE_LAYERS:
        if name <= network.last and name not in model.without:
            found += _of_dense(model, name, shape)
            shape = found[-1].shape
    return found


def _of_conv(
    model: ModelConfig, name: str, channels: int, size: int, pooled: int
) -> list[Operation]:
    layer: ConvLayer = getattr(model, name)
    maps = channels if name in model.without else layer.features
    before, after = (maps, size, size), (maps, pooled, pooled)

    def norms(position: Position, shape: tuple[int, ...]) -> Iterator[Operation]:
        for stage, kind in _norms(model, layer, position, maps):
            yield Operation(name, stage, kind, shape)

    found: list[Operation] = []
    if name not in model.without:
        groups = _groups(model, layer.sees)
        convolution = Conv(
            channels, maps, layer.kernel_size, layer.stride, layer.padding, groups
        )
        found.append(Operation(name, "linear", convolution, before))
        found += norms("before_activation", before)
        activation = Activation(model.activation)
        found.append(Operation(name, "activation", activation, before))
        found += norms("after_activation", before)
    if layer.pool.window > 1 or layer.pool.stride > 1:
        pool = layer.pool
        beyond = pooling.overhang(size, pool)
        kind = MaxPool(pool.window, pool.stride, pool.ceil, beyond)
        found.append(Operation(name, "pool", kind, after))
    found += norms("after_pool", after)
    return _last_norm_named(found)


def _groups(model: ModelConfig, sees: Sees) -> int:
    return model.num_columns if sees == "own" else 1


def _norms(
    model: ModelConfig, layer: ConvLayer, position: Position, maps: int
) -> Iterator[tuple[str, Kind]]:
    local, spatial = layer.local_norm, layer.spatial_norm
    if local.position == position:
        groups = 1 if local.across_columns else model.num_columns
        alpha = _alpha_of_mean(local, local.size)
        kind = LocalNorm(local.size, local.k, alpha, local.beta, maps // groups, groups)
        yield "local_norm", kind
    if spatial.position == position:
        alpha = _alpha_of_mean(spatial, spatial.size**2)
        yield "spatial_norm", SpatialNorm(spatial.size, spatial.k, alpha, spatial.beta)


def _alpha_of_mean(norm: Norm, values: int) -> float:
    """The factor on the mean of the squares, which others call alpha."""
    return norm.alpha if norm.alpha_divided_by_n else norm.alpha * values


def _last_norm_named(operations: list[Operation]) -> list[Operation]:
    """The last normalisation of a layer is its stage "norm"."""
    norms = [n for n, one in enumerate(operations) if one.stage.endswith("_norm")]
    return [
        one._replace(stage="norm") if n in norms[-1:] else one
        for n, one in enumerate(operations)
    ]


def _of_dense(model: ModelConfig, name: str, shape: tuple[int, ...]) -> list[Operation]:
    layer: DenseLayer = getattr(model, name)
    units = (layer.features,)
    side = shape[1] if len(shape) == 3 else 1
    dense = Dense(shape[0], side, layer.features, _groups(model, layer.sees))
    found = [Operation(name, "linear", dense, units)]
    if name == "fc8":
        return found
    activation = Activation(model.activation)
    found.append(Operation(name, "activation", activation, units))
    keep = 1.0 - model.dropout_rate
    if model.dropout != "inverted" and keep != 1:
        found.append(Operation(name, "factor", Factor(keep), units))
    return found
