"""One step of training and one of evaluation, and the state that training changes.

Both are pure functions of their arguments, the same for every layout of devices:
`jax.set_mesh` is the only switch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from alexnet_jax import augment, columns, metrics, model, optimizer
from alexnet_jax.config import Config
from alexnet_jax.model import AlexNet
from alexnet_jax.system import devices

SUMS = ("loss", "top1_error", "top5_error", "examples")


class TrainState(NamedTuple):
    """Everything that training changes, and therefore everything that is saved."""

    step: jax.Array
    """Updates made so far, int32."""
    params: Any
    """`{layer: {"kernel", "bias"}}`, float32."""
    opt_state: Any
    """The velocity, inside optax's tree."""
    plateau: optimizer.Plateau


def abstract_train_state(config: Config, mesh: Mesh) -> TrainState:
    """Shapes, dtypes and shardings of the state, without computing it.

    The devices of the mesh need not exist: a program can be compiled for them.
    """
    state = jax.eval_shape(lambda: _initial(config, mesh, jax.random.key(0)))
    shardings = columns.state_sharding(mesh, state)
    return jax.tree.map(lambda x, place: x.update(sharding=place), state, shardings)


def create_train_state(config: Config, mesh: Mesh, key: jax.Array) -> TrainState:
    """The state before the first step; call it within `jax.set_mesh(mesh)`.

    It is created on the devices with its shardings, so no device ever holds more than
    its share.
    """
    abstract = abstract_train_state(config, mesh)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    create = devices.compiled(partial(_initial, config, mesh), out_shardings=shardings)
    return create(key)


def _initial(config: Config, mesh: Mesh, key: jax.Array) -> TrainState:
    size = config.augment.crop_size
    # One image per device along `data`, over which by_column splits the batch.
    image = jnp.zeros((mesh.shape["data"], size, size, 3), jnp.float32)
    params = AlexNet(config.model).init(key, image, train=False)["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.make_optimizer(config.optimizer).init(params),
        plateau=optimizer.initial_plateau(),
    )


def loss_fn(
    params: Any,
    view: jax.Array,
    label: jax.Array,
    dropout_key: jax.Array,
    *,
    config: Config,
) -> tuple[jax.Array, jax.Array]:
    """Mean negative log-likelihood of the labels under the softmax, and the logits.

    Args:
        view: float32 `[batch, crop_size, crop_size, 3]`, 0-255 minus mean.
        label: int32 `[batch]`.
    """
    logits = model.logits(config.model, params, view, dropout_key=dropout_key)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    return jnp.mean(loss), logits


def train_step(
    state: TrainState,
    batch: dict[str, jax.Array],
    key: jax.Array,
    images: augment.ImageStatistics,
    *,
    config: Config,
    steps_per_epoch: float,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One update.

    Args:
        batch: "image" uint8 `[batch, size, size, 3]`, RGB 0-255, "label" int32
            `[batch]`.
        key: the key of the whole run. The step is folded in here, so a resumed run
            draws the same numbers as an uninterrupted one.

    Returns:
        The new state, and the values to log: scalars loss, top1_error, learning_rate
        and gradient_norm; layer_gradient_norm and layer_update_norm, float32
        `[layers]`, in the order of the layers' names.
    """
    augment_key, dropout_key = jax.random.split(jax.random.fold_in(key, state.step))
    epoch = state.step.astype(jnp.float32) / steps_per_epoch
    with jax.named_scope("augmentation"):  # names in the compiled program
        view = augment.training_views(
            augment_key, batch["image"], epoch, images, config.augment
        )
    gradients, values = mean_over_parts(
        partial(_gradients, state.params, config=config),
        (view, batch["label"]),
        dropout_key,
        config.microbatches,
    )
    with jax.named_scope("update"):
        state, learning_rate, updates = _update(state, gradients, epoch, config)
        layer_gradient_norm = optimizer.layer_norms(gradients)
        layer_update_norm = optimizer.layer_norms(updates)
    return state, {
        **values,
        "learning_rate": learning_rate,
        "gradient_norm": jnp.linalg.norm(layer_gradient_norm),
        "layer_gradient_norm": layer_gradient_norm,
        "layer_update_norm": layer_update_norm,
    }


def _gradients(
    params: Any,
    batch: tuple[jax.Array, jax.Array],
    dropout_key: jax.Array,
    *,
    config: Config,
) -> tuple[Any, dict[str, jax.Array]]:
    """Gradients of the loss of (view, label), and the values to log."""
    view, label = batch
    gradient_of_loss = jax.value_and_grad(partial(loss_fn, config=config), has_aux=True)
    (loss, logits), gradients = gradient_of_loss(params, view, label, dropout_key)
    top1_error = jnp.mean(metrics.top_error(logits, label, 1))
    return gradients, {"loss": loss, "top1_error": top1_error}


def _update(
    state: TrainState, gradients: Any, epoch: jax.Array, config: Config
) -> tuple[TrainState, jax.Array, Any]:
    """The new state, the learning rate of kernels, and the updates."""
    kernel_rate, bias_rate = optimizer.learning_rates(
        epoch,
        state.plateau.num_drops,
        num_epochs=config.num_epochs,
        settings=config.optimizer,
    )
    updates, opt_state = optimizer.make_optimizer(config.optimizer).update(
        gradients,
        state.opt_state,
        state.params,
        rates=optimizer.rate_tree(
            state.params, kernel_rate, bias_rate, epoch, config.optimizer
        ),
    )
    state = state._replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        opt_state=opt_state,
    )
    return state, kernel_rate, updates


def mean_over_parts(
    function: Callable[[Any, jax.Array], Any], batch: Any, key: jax.Array, parts: int
) -> Any:
    """Mean of function(part, key of the part) over equal parts of a batch.

    For gradients of a mean loss this is the gradient of the whole batch, up to
    rounding. Part i has the examples i, i + parts, i + 2 parts and so on, so each
    device keeps its own rows and nothing is communicated.

    Args:
        function: returns a tree of floating-point arrays whose shapes do not depend on
            the batch size.
        batch: a tree of arrays `[batch, ...]`.
        parts: divides the batch of each device.
    """
    if parts == 1:
        return function(batch, key)
    split = jax.tree.map(lambda array: _split(array, parts), batch)
    keys = jax.random.split(key, parts)

    # XLA on CPU runs convolutions in a loop several times slower than outside. On
    # accelerators it stays a loop, whose body compiles once.
    unroll = devices.platform() == "cpu"

    def add(total: Any, part: jax.Array) -> tuple[Any, None]:
        if unroll:
            part = part + _zero_after(total)
        values = function(*jax.tree.map(lambda x: _part(x, part), (split, keys)))
        return jax.tree.map(jnp.add, total, values), None

    shapes = jax.eval_shape(function, jax.tree.map(lambda x: x[0], split), keys[0])
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    total, _ = jax.lax.scan(add, zeros, jnp.arange(parts), unroll=unroll)
    return jax.tree.map(lambda x: x / parts, total)


def _split(array: jax.Array, parts: int) -> jax.Array:
    """`[batch, ...]` to `[parts, batch / parts, ...]`."""
    shape = (array.shape[0] // parts, parts, *array.shape[1:])
    return jnp.swapaxes(array.reshape(shape), 0, 1)


def _part(array: jax.Array, index: jax.Array) -> jax.Array:
    return jax.lax.dynamic_index_in_dim(array, index, keepdims=False)


def _zero_after(tree: Any) -> jax.Array:
    """0, int32, which XLA knows only after it has computed all arrays of the tree.

    A part whose index needs it begins when the part before has ended. Otherwise XLA on
    CPU interleaves parts that are not in a loop, and has the activations of all in
    memory at once; `jax.lax.optimization_barrier` is removed too early to prevent it.
    """
    # Of the last axis, along which the columns are split, so no array is gathered.
    rows = [leaf[(0,) * (leaf.ndim - 1)] for leaf in jax.tree.leaves(tree)]
    sums = jnp.stack([jnp.sum(row) for row in rows])
    # If the sum is not finite this is no zero, but neither is the mean a number.
    return (0 * jnp.sum(sums)).astype(jnp.int32)


def eval_step(
    sums: dict[str, jax.Array],
    params: Any,
    batch: dict[str, jax.Array],
    mean_image: jax.Array,
    *,
    config: Config,
) -> dict[str, jax.Array]:
    """Adds a batch to the sums of loss, errors and examples.

    Args:
        batch: "image" uint8 `[batch, size, size, 3]`, "label" int32 `[batch]`, "mask"
            bool `[batch]`, False for padding. Examples with label -1 don't count.
    """
    with jax.named_scope("augmentation"):
        view = augment.center_view(batch["image"], mean_image, config.augment)
    logits = model.logits(config.model, params, view)
    label = batch["label"]
    values = {
        "loss": optax.softmax_cross_entropy_with_integer_labels(logits, label),
        "top1_error": metrics.top_error(logits, label, 1),
        "top5_error": metrics.top_error(logits, label, 5),
        "examples": jnp.ones(label.shape),
    }
    counts = batch["mask"] & (label >= 0)
    return {
        name: sums[name] + jnp.sum(jnp.where(counts, value, 0.0))
        for name, value in values.items()
    }
