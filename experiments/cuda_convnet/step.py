"""Training and evaluation of a CIFAR-10 net on the device: pure functions.

All images are on the device, and many steps run in one dispatch; nothing is fetched
between them.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from alexnet_jax import metrics
from experiments.cuda_convnet.images import Images, test_views, training_views
from experiments.cuda_convnet.model import CifarNet
from experiments.cuda_convnet.nets import NUM_CLASSES, Recipe
from experiments.cuda_convnet.settings import Epoch

Params = Any  # {layer: {"kernel", "bias"}}, float32


class Sums(NamedTuple):
    """Sums over images; float32 counts are exact up to 2^24."""

    loss: jax.Array
    errors: jax.Array
    examples: jax.Array


class State(NamedTuple):
    """The state that a step updates."""

    step: jax.Array
    """Number of steps done, int32."""
    params: Params
    velocity: Params
    running: Sums
    """Sums over this epoch's batches so far, each before its update."""
    train_error: jax.Array
    """Error on all training images after the last epoch, if it is measured; before the
    first epoch that of guessing."""


class Rates(NamedTuple):
    """Learning rates, float32 scalars."""

    kernel: jax.Array
    bias: jax.Array


def rates_of(recipe: Recipe, epoch: Epoch) -> Rates:
    """The learning rates of an epoch."""
    return Rates(
        kernel=jnp.float32(recipe.learning_rate * epoch.stage.rate_factor),
        bias=jnp.float32(recipe.bias_learning_rate * epoch.stage.bias_rate_factor),
    )


def no_sums() -> Sums:
    """Zeros to add to."""
    return Sums(*(jnp.zeros((), jnp.float32) for _ in Sums._fields))


def create_state(net: CifarNet, recipe: Recipe, key: jax.Array) -> State:
    """Gaussian kernels, biases and velocities of zero."""
    image = jnp.zeros((1, recipe.crop_size, recipe.crop_size, 3))
    params = net.init(key, image)["params"]
    velocity = jax.tree.map(jnp.zeros_like, params)
    chance = jnp.float32(1 - 1 / NUM_CLASSES)
    return State(jnp.zeros((), jnp.int32), params, velocity, no_sums(), chance)


def update(
    params: Params,
    velocity: Params,
    gradients: Params,
    *,
    rates: Rates,
    weight_costs: dict[str, float],
    momentum: float,
) -> tuple[Params, Params]:
    """New parameters and velocities (2012 code, weights.cu).

    v <- momentum * v - rate * (gradient + weight_cost * w);  w <- w + v. Biases have
    their own rate and no weight cost.
    """

    def new_velocity(
        path: Any, w: jax.Array, v: jax.Array, gradient: jax.Array
    ) -> jax.Array:
        layer, kind = (part.key for part in path)
        if kind == "bias":
            return momentum * v - rates.bias * gradient
        return momentum * v - rates.kernel * (gradient + weight_costs[layer] * w)

    velocity = jax.tree_util.tree_map_with_path(
        new_velocity, params, velocity, gradients
    )
    return jax.tree.map(jnp.add, params, velocity), velocity


def train_step(
    state: State,
    images: Images,
    indices: jax.Array,
    mean_image: jax.Array,
    rates: Rates,
    key: jax.Array,
    *,
    net: CifarNet,
    recipe: Recipe,
    weight_costs: dict[str, float],
) -> State:
    """One update by the mean gradient of a batch.

    Args:
        indices: int32 `[batch]`, examples of `images`; -1 fills up an incomplete batch.
        key: the key of the run; the step number is folded in here.
    """
    mask = indices >= 0
    examples = jnp.maximum(indices, 0)
    view = training_views(
        jax.random.fold_in(key, state.step), images.image[examples], mean_image, recipe
    )
    label = images.label[examples]

    def loss_fn(params: Params) -> tuple[jax.Array, Sums]:
        sums = sums_of(net.apply({"params": params}, view), label, mask)
        return sums.loss / sums.examples, sums

    gradients, sums = jax.grad(loss_fn, has_aux=True)(state.params)
    params, velocity = update(
        state.params,
        state.velocity,
        gradients,
        rates=rates,
        weight_costs=weight_costs,
        momentum=recipe.momentum,
    )
    running = jax.tree.map(jnp.add, state.running, sums)
    return state._replace(
        step=state.step + 1, params=params, velocity=velocity, running=running
    )


def sums_of(logits: Any, label: jax.Array, mask: jax.Array) -> Sums:
    """Negative log-likelihood and top-1 errors of the images in the mask."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    errors = metrics.top_error(logits, label, 1)
    weight = mask.astype(jnp.float32)
    return Sums(jnp.sum(loss * weight), jnp.sum(errors * weight), jnp.sum(weight))


def train_steps(
    state: State,
    images: Images,
    order: jax.Array,
    start: jax.Array,
    stop: jax.Array,
    mean_image: jax.Array,
    rates: Rates,
    key: jax.Array,
    **settings: Any,
) -> State:
    """Runs `train_step` for the batches `order[start:stop]`, in one dispatch.

    Args:
        order: int32 `[batches, batch]`, see `epoch_batches`.
    """

    def body(batch: jax.Array, state: State) -> State:
        return train_step(
            state, images, order[batch], mean_image, rates, key, **settings
        )

    return jax.lax.fori_loop(start, stop, body, state)


def epoch_batches(order: np.ndarray, batch_size: int) -> np.ndarray:
    """Cuts an epoch's order into batches, int32 `[batches, batch_size]`. The last one
    is filled up with -1; its gradient is the mean over the real images (2012 code)."""
    missing = -len(order) % batch_size
    filled = np.concatenate([order, np.full(missing, -1)])
    return filled.reshape(-1, batch_size).astype(np.int32)


@partial(jax.jit, static_argnames=("net", "crop_size", "num_views"))
def eval_step(
    params: Params,
    images: Images,
    mean_image: jax.Array,
    *,
    net: CifarNet,
    crop_size: int,
    num_views: int,
) -> Sums:
    """Sums over a batch, from the mean softmax of the views."""
    views = test_views(images.image, mean_image, crop_size, num_views)
    logits: list[Any] = [net.apply({"params": params}, view) for view in views]
    # Log probabilities, because small probabilities would round to 0. They serve as
    # logits; the number of views cancels.
    log_probability = jnp.stack([jax.nn.log_softmax(x) for x in logits])
    mask = jnp.ones(images.label.shape, bool)
    return sums_of(jax.nn.logsumexp(log_probability, axis=0), images.label, mask)


_EVAL_BATCH = 1000


def evaluate_net(
    params: Params,
    images: Images,
    mean_image: jax.Array,
    *,
    net: CifarNet,
    crop_size: int,
    num_views: int,
) -> dict[str, float]:
    """Mean loss and top-1 error over all images, from sums divided once."""
    total = no_sums()
    for start in range(0, len(images.label), _EVAL_BATCH):
        batch = Images(*(x[start : start + _EVAL_BATCH] for x in images))
        sums = eval_step(
            params, batch, mean_image, net=net, crop_size=crop_size, num_views=num_views
        )
        total = jax.tree.map(jnp.add, total, sums)
    return means_of(total)


def means_of(sums: Sums) -> dict[str, float]:
    """Mean loss, top-1 error and number of images, on the host."""
    loss, errors, examples = (float(x) for x in jax.device_get(sums))
    return {
        "loss": loss / examples,
        "top1_error": errors / examples,
        "examples": int(examples),
    }
