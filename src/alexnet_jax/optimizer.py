"""The paper's update rule and the schedules of its rates (section 5).

Learning rate and weight decay are inside the velocity, biases have their own rate and
no decay, and a layer whose rate is zero is frozen. `optax.sgd` is not the same: there a
change of the rate rescales the accumulated velocity.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from alexnet_jax import config_checks
from alexnet_jax.config import OptimizerConfig

Params = dict[str, dict[str, Any]]


class Plateau(NamedTuple):
    """State of schedule "plateau", saved with the training state."""

    best_error: jax.Array
    """Lowest top-1 error so far, float32."""
    evaluations_since: jax.Array
    """Evaluations since that error or since the last drop, int32."""
    num_drops: jax.Array
    """Drops of the rate so far, int32."""


def initial_plateau() -> Plateau:
    zero = jnp.zeros((), jnp.int32)
    return Plateau(jnp.full((), jnp.inf, jnp.float32), zero, zero)


def after_evaluation(
    plateau: Plateau, top1_error: jax.Array, settings: OptimizerConfig
) -> Plateau:
    """Drops the rate after `plateau_patience` evaluations without improvement.

    The authors did this by hand: they divided the rate by 10 when the validation error
    stopped improving, three times (section 5).
    """
    improved = top1_error < plateau.best_error - settings.plateau_min_improvement
    waited = jnp.where(improved, 0, plateau.evaluations_since + 1)
    drop = (waited >= settings.plateau_patience) & (
        plateau.num_drops < settings.plateau_max_drops
    )
    return Plateau(
        best_error=jnp.where(improved, top1_error, plateau.best_error),
        evaluations_since=jnp.where(drop, 0, waited),
        num_drops=plateau.num_drops + drop.astype(jnp.int32),
    )


def learning_rates(
    epoch: jax.Array,
    num_drops: jax.Array,
    *,
    num_epochs: float,
    settings: OptimizerConfig,
) -> tuple[jax.Array, jax.Array]:
    """The learning rates of kernels and of biases.

    Args:
        epoch: float32 scalar, epochs done so far.
        num_drops: int32 scalar, drops of schedule "plateau".
        num_epochs: length of the run, for "levels" and "cosine".
    """
    progress = epoch / num_epochs
    kernel = jnp.float32(settings.learning_rate)
    bias = jnp.float32(settings.bias_learning_rate)
    match settings.schedule:
        case "constant":
            return kernel, bias
        case "cosine":
            factor = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0, 1)))
            return kernel * factor, bias * factor
        case "levels":
            return (
                kernel * _level(progress, settings.levels, settings.levels_factor),
                bias
                * _level(progress, settings.bias_levels, settings.bias_levels_factor),
            )
        case "epochs":
            drops = jnp.sum(epoch >= jnp.asarray(settings.drop_epochs, jnp.float32))
        case "plateau":
            drops = num_drops
    bias_drops = jnp.minimum(drops, settings.max_bias_drops)
    factor = jnp.float32(settings.drop_factor)
    return (
        kernel / factor ** drops.astype(jnp.float32),
        bias / factor ** bias_drops.astype(jnp.float32),
    )


def _level(progress: jax.Array, levels: int, whole_factor: float) -> jax.Array:
    """Factor of the current level (2012 code, "dexp").

    Levels have equal length; the factor is 1 in the first and 1 / whole_factor in the
    last.
    """
    if levels == 1:
        return jnp.ones_like(progress)
    level = jnp.clip(jnp.floor(progress * levels), 0, levels - 1)
    return jnp.float32(whole_factor) ** (-level / (levels - 1))


def rate_tree(
    params: Params,
    kernel_rate: jax.Array,
    bias_rate: jax.Array,
    epoch: jax.Array,
    settings: OptimizerConfig,
) -> Params:
    """The rate of each parameter: by kind, times the factor of `layer_multipliers`,
    unless `layer_rates` overrides it."""
    factors = config_checks.layer_multipliers(settings)

    def rate(layer: str, kind: str) -> jax.Array:
        value = kernel_rate if kind == "kernel" else bias_rate
        if layer in factors:
            value = value * jnp.float32(factors[layer])
        for name, since, layer_rate in settings.layer_rates:
            if name == layer:
                value = jnp.where(epoch >= since, jnp.float32(layer_rate), value)
        return value

    return {
        layer: {kind: rate(layer, kind) for kind in arrays}
        for layer, arrays in params.items()
    }


def make_optimizer(settings: OptimizerConfig) -> optax.GradientTransformationExtraArgs:
    """The update rule of section 5 as an optax transformation.

    v <- momentum * v - rate * (gradient + weight_decay * w);  w <- w + v, without decay
    for biases. A parameter whose rate is 0 does not change.

    # Deviation: the velocity of a frozen layer decays, while the 2012 code keeps it.
    # This matters only if the layer is unfrozen.

    `update` takes `rates`, a tree like the parameters, as an extra argument.
    """

    def kernels(params: Params) -> Params:
        return {
            layer: {kind: kind == "kernel" for kind in arrays}
            for layer, arrays in params.items()
        }

    return optax.chain(
        optax.add_decayed_weights(settings.weight_decay, mask=kernels),
        _with_rates(lambda gradient, rate: -rate * gradient),
        optax.trace(decay=settings.momentum),
        _with_rates(lambda velocity, rate: jnp.where(rate > 0, velocity, 0)),
    )


def _with_rates(function: Any) -> optax.GradientTransformationExtraArgs:
    """Applies function(update, rate) to each update."""

    def update(
        updates: Any, state: Any, params: Any = None, *, rates: Any = None, **_: Any
    ) -> tuple[Any, Any]:
        return jax.tree.map(function, updates, rates), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def layer_norms(tree: Params) -> jax.Array:
    """Euclidean norm over kernel and bias of each layer.

    Returns:
        float32 `[layers]`, in the order of the layers' names.
    """
    return jnp.stack([_norm(arrays) for _, arrays in sorted(tree.items())])


def _norm(arrays: dict[str, jax.Array]) -> jax.Array:
    return jnp.sqrt(sum(_sum_of_squares(x) for x in arrays.values()))


def _sum_of_squares(x: jax.Array) -> jax.Array:
    """XLA on CPU would write the squares of a large array to memory before it adds
    them, unless a sum along one axis is all that it sees."""

    def along_one_axis_first(x: jax.Array) -> jax.Array:
        part = jnp.sum(jnp.square(x), axis=0)
        return jnp.sum(jax.lax.optimization_barrier(part))

    return jax.lax.platform_dependent(
        x,
        cpu=along_one_axis_first,
        default=lambda x: jnp.tensordot(x, x, axes=x.ndim, precision="highest"),
    )
