"""What a step carries on: step, parameters, velocity, state of the schedule."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from alexnet_jax import columns, optimizer
from alexnet_jax.config import Config
from alexnet_jax.model import AlexNet
from alexnet_jax.system import devices


class TrainState(NamedTuple):
    """Everything that training changes, and so everything that is saved."""

    step: jax.Array
    """Updates made so far, int32."""
    params: Any
    """`{layer: {"kernel", "bias"}}`, float32."""
    opt_state: Any
    """The velocity, inside optax's tree."""
    plateau: optimizer.Plateau


def abstract_train_state(config: Config, mesh: Mesh) -> TrainState:
    """Shapes, dtypes and shardings of the state; nothing is computed."""
    state = jax.eval_shape(partial(_initial, config, mesh), jax.random.key(0))
    shardings = columns.state_sharding(mesh, state)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=sharding
        ),
        state,
        shardings,
    )


def create_train_state(config: Config, mesh: Mesh, key: jax.Array) -> TrainState:
    """The state before the first step, born where it lives: no device ever holds more
    than its share. Call it within `jax.set_mesh(mesh)`."""
    abstract = abstract_train_state(config, mesh)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    create = devices.compiled(partial(_initial, config, mesh), out_shardings=shardings)
    return create(key)


def _initial(config: Config, mesh: Mesh, key: jax.Array) -> TrainState:
    size = config.augment.crop_size
    # One image for each part of the batch: by_column splits the batch over `data`.
    image = jnp.zeros((mesh.shape["data"], size, size, 3), jnp.float32)
    params = AlexNet(config.model).init(key, image, train=False)["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.make_optimizer(config.optimizer).init(params),
        plateau=optimizer.initial_plateau(),
    )
