"""The compiled steps of training and evaluation, on synthetic images."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from alexnet_jax import augment, columns, train_step
from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.system import devices

Steps = Callable[[int], None]
"""`run(n)` makes n steps and waits for them."""


class Inputs(NamedTuple):
    """The arguments of the steps, on the devices."""

    state: Any
    batch: dict[str, jax.Array]
    key: jax.Array
    images: augment.ImageStatistics


def make_inputs(config: Config, mesh: Any) -> Inputs:
    """A new state, a batch of noise, statistics like ImageNet's; call within a mesh."""
    size, batch = config.data.image_size, config.batch_size
    generator = np.random.default_rng(0)
    everywhere = columns.replicated(mesh)
    statistics = (
        np.full((size, size, 3), 120, np.float32),
        np.array([122, 37, 20], np.float32),
        np.eye(3, dtype=np.float32),
    )
    return Inputs(
        state=train_step.create_train_state(config, mesh, jax.random.key(0)),
        batch=jax.device_put(
            {
                "image": generator.integers(0, 256, (batch, size, size, 3), np.uint8),
                "label": (np.arange(batch) % config.model.num_classes).astype(np.int32),
                "mask": np.ones(batch, bool),
            },
            columns.batch_sharding(mesh),
        ),
        key=jax.device_put(jax.random.key(1), everywhere),
        images=augment.ImageStatistics(*jax.device_put(statistics, everywhere)),
    )


def train_program(config: Config, mesh: Any, state: Any, *, tuned: bool = True) -> Any:
    """`train_step` of (state, batch, key, images), compiled as for the loop."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    return jax.jit(
        partial(train_step.train_step, config=config, steps_per_epoch=10_000.0),
        donate_argnames="state",
        out_shardings=(shardings, columns.replicated(mesh)),
        compiler_options=devices.compiler_options() if tuned else None,
    )


def eval_program(config: Config, mesh: Any, *, tuned: bool = True) -> Any:
    """`eval_step` of (sums, params, batch, mean_image)."""
    return jax.jit(
        partial(train_step.eval_step, config=config),
        out_shardings=columns.replicated(mesh),
        compiler_options=devices.compiler_options() if tuned else None,
    )


def lowered_train(config: Config, mesh: Any) -> Any:
    """The train step for devices and arrays that need not exist; `.compile()` it."""
    with jax.set_mesh(mesh):
        inputs = _abstract_inputs(config, mesh)
        del inputs.batch["mask"]
        return train_program(config, mesh, inputs.state).lower(*inputs)


def lowered_eval(config: Config, mesh: Any) -> Any:
    """The same of the eval step."""
    with jax.set_mesh(mesh):
        inputs = _abstract_inputs(config, mesh)
        zero = jax.ShapeDtypeStruct((), np.float32, sharding=columns.replicated(mesh))
        sums = dict.fromkeys(train_step.SUMS, zero)
        return eval_program(config, mesh).lower(
            sums, inputs.state.params, inputs.batch, inputs.images.mean_image
        )


def _abstract_inputs(config: Config, mesh: Any) -> Inputs:
    """`make_inputs` as shapes, dtypes and shardings."""
    everywhere, split = columns.replicated(mesh), columns.batch_sharding(mesh)
    size, batch = config.data.image_size, config.batch_size
    key = jax.eval_shape(lambda: jax.random.key(0))

    def array(shape: tuple[int, ...], dtype: Any, sharding: Any = everywhere) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    return Inputs(
        state=train_step.abstract_train_state(config, mesh),
        batch={
            "image": array((batch, size, size, 3), np.uint8, split),
            "label": array((batch,), np.int32, split),
            "mask": array((batch,), np.bool_, split),
        },
        key=key.update(sharding=everywhere),
        images=augment.ImageStatistics(
            array((size, size, 3), np.float32),
            array((3,), np.float32),
            array((3, 3), np.float32),
        ),
    )


def compiled(
    config: Config,
    mesh: MeshConfig,
    stack: contextlib.ExitStack,
    *,
    tuned: bool = True,
) -> dict[str, Steps]:
    """Runners "train" and "eval" on all devices.

    Args:
        stack: leaves the mesh when it is closed.
        tuned: True to pass `devices.compiler_options` to XLA.
    """
    grid, inputs = placed(config, mesh, stack)
    return runners(
        grid,
        inputs,
        train_program(config, grid, inputs.state, tuned=tuned),
        eval_program(config, grid, tuned=tuned),
    )


def placed(
    config: Config, mesh: MeshConfig, stack: contextlib.ExitStack
) -> tuple[Any, Inputs]:
    """The grid of devices, entered until `stack` is closed, and the inputs on it."""
    grid = columns.make_mesh(mesh, config.model.num_columns, jax.devices())
    stack.enter_context(jax.set_mesh(grid))
    return grid, make_inputs(config, grid)


def zero_sums(grid: Any) -> dict[str, jax.Array]:
    """The sums of an evaluation before its first batch."""
    return jax.device_put(
        {name: np.zeros((), np.float32) for name in train_step.SUMS},
        columns.replicated(grid),
    )


def runners(
    grid: Any, inputs: Inputs, update: Callable, evaluation: Callable
) -> dict[str, Steps]:
    """Runners of a training and an evaluation program, which get `inputs`."""
    state, zero = inputs.state, zero_sums(grid)

    # On CPU wait for each step, as the training loop does: programs that run ahead on
    # virtual devices can make XLA abort.
    on_cpu = jax.default_backend() == "cpu"

    def training(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state, _ = update(state, inputs.batch, inputs.key, inputs.images)
            if on_cpu:
                jax.block_until_ready(state)
        jax.block_until_ready(state)

    def evaluating(count: int) -> None:
        sums = zero
        for _ in range(count):
            sums = evaluation(
                sums, state.params, inputs.batch, inputs.images.mean_image
            )
            if on_cpu:
                jax.block_until_ready(sums)
        jax.block_until_ready(sums)

    return {"train": training, "eval": evaluating}
