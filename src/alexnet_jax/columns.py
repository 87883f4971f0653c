"""Columns and devices: the mesh, where arrays live, operations column by column.

The paper (section 3.5, Figure 2) puts half of the maps, a column, on each of two
devices; they communicate only in layers that see both columns. Here that is one
function, `by_column`. Arrays have ordinary global shapes with column 0 in the first
half of the last axis, so no code outside this file depends on the number of devices.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from alexnet_jax.config import MeshConfig, Sees
from alexnet_jax.errors import UserError


def make_mesh(mesh: MeshConfig, num_columns: int, devices: Sequence[Any]) -> Mesh:
    """The grid of devices with axes ("data", "column").

    By default each column has a device of its own if the number of columns divides the
    number of devices; otherwise one device holds all columns. The remaining devices
    share the batch.

    Raises:
        UserError: the grid does not fit the devices or the columns.
    """
    fits = len(devices) % num_columns == 0
    column = mesh.column or (num_columns if fits else 1)
    data = mesh.data or max(1, len(devices) // column)
    if column not in (1, num_columns):
        raise UserError(
            f"--run.mesh.column {column}: the network has {num_columns} column(s), "
            f"which lie on 1 device or on {num_columns}."
        )
    if data < 1 or data * column > len(devices):
        raise UserError(
            f"a mesh of {data} x {column} (data x column) needs {data * column} "
            f"devices, and there are {len(devices)} ({devices[0].platform}): choose "
            "--run.mesh.data and --run.mesh.column to fit, or, without an accelerator, "
            f"set --run.mesh.cpu-devices {data * column}."
        )
    # Auto lets the compiler place everything between the calls of `by_column`. Under
    # Explicit axes, JAX's default, Flax's convolution refuses a split kernel.
    return jax.make_mesh(
        (data, column),
        ("data", "column"),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=devices[: data * column],
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """A batch is split along its first axis over `data`; every column sees it."""
    return NamedSharding(mesh, P("data"))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, P())


def state_sharding(mesh: Mesh, state: Any) -> Any:
    """The one rule for parameters, velocity and everything else in a state.

    An array is split along its last axis over `column` where that is possible, so each
    device of a column holds exactly that column's parameters. Scalars are replicated.

    Args:
        state: a tree of arrays or `jax.ShapeDtypeStruct`.

    Returns:
        The same tree with a `NamedSharding` at each leaf.
    """

    def sharding(leaf: Any) -> NamedSharding:
        splits = leaf.ndim > 0 and leaf.shape[-1] % mesh.shape["column"] == 0
        return NamedSharding(mesh, _last_axis(leaf.ndim) if splits else P())

    return jax.tree.map(sharding, state)


def by_column(
    operation: Callable[[jax.Array, jax.Array], jax.Array],
    x: jax.Array,
    kernel: jax.Array,
    *,
    sees: Sees,
    num_columns: int,
    output_ndim: int,
) -> jax.Array:
    """Applies a linear operation column by column.

    y = concatenate(operation(x as column c sees it, kernel[..., c]) for c), where
    kernel[..., c] is the c-th part of the last axis. Outside a mesh, or if one device
    holds all columns, it is one dense operation per slice: XLA's grouped convolution is
    several times slower on CPU and gathers everything on a mesh. On a mesh with
    `column` > 1 each device computes its own column, and the only communication is an
    all-gather of x where the layer sees both columns.

    Args:
        x: `[batch, ..., channels]`.
        kernel: `[..., features]`, with the inputs of one column if sees is "own".
        sees: "image" (x is not split into columns), "own" or "both".
        output_ndim: number of axes of the result.

    Returns:
        `[batch, ..., features]`.
    """
    mesh = jax.sharding.get_abstract_mesh()
    on_devices = mesh.shape.get("column", 1)
    if on_devices > 1 and kernel.shape[-1] % on_devices == 0:
        return _on_devices(operation, x, kernel, sees=sees, output_ndim=output_ndim)
    if sees != "own" or num_columns == 1:
        return operation(x, kernel)
    columns = zip(
        jnp.split(x, num_columns, axis=-1),
        jnp.split(kernel, num_columns, axis=-1),
        strict=True,
    )
    return jnp.concatenate([operation(*column) for column in columns], axis=-1)


def _on_devices(
    operation: Callable[[jax.Array, jax.Array], jax.Array],
    x: jax.Array,
    kernel: jax.Array,
    *,
    sees: Sees,
    output_ndim: int,
) -> jax.Array:
    def own_column(x: jax.Array, kernel: jax.Array) -> jax.Array:
        if sees == "both":
            x = jax.lax.all_gather(x, "column", axis=x.ndim - 1, tiled=True)
        return operation(x, kernel)

    # A data axis of one device must not be named in the specs: the gradients would pass
    # through an all-reduce over that one device, which is not free.
    data = "data" if jax.sharding.get_abstract_mesh().shape["data"] > 1 else None
    x_spec = P(data) if sees == "image" else _last_axis(x.ndim, first=data)
    island = jax.shard_map(
        own_column,
        in_specs=(x_spec, _last_axis(kernel.ndim)),
        out_specs=_last_axis(output_ndim, first=data),
    )
    return island(x, kernel)


def _last_axis(ndim: int, first: str | None = None) -> P:
    """The last axis split over `column`, the first over `first`."""
    return P(*[first, *[None] * (ndim - 1)][: ndim - 1], "column")


def convolution(*, sees: Sees, num_columns: int) -> Callable[..., jax.Array]:
    """`lax.conv_general_dilated` by columns, for `nn.Conv`'s argument of that name.

    In Flax a layer that sees its own column has `feature_group_count` equal to the
    number of columns, which gives its kernel the shape of a grouped convolution.
    """

    def conv_general_dilated(
        x: jax.Array,
        kernel: jax.Array,
        strides: Sequence[int],
        padding: Any,
        *,
        feature_group_count: int,
        **options: Any,
    ) -> jax.Array:
        del feature_group_count  # `sees` already implies it
        dense = partial(
            jax.lax.conv_general_dilated,
            window_strides=strides,
            padding=padding,
            **options,
        )
        return by_column(
            dense, x, kernel, sees=sees, num_columns=num_columns, output_ndim=x.ndim
        )

    return conv_general_dilated


def matrix_product(
    x: jax.Array, kernel: jax.Array, *, sees: Sees, num_columns: int
) -> jax.Array:
    """Contracts all axes of x but the first with all axes of the kernel but the last.

    Args:
        x: `[batch, ..., channels]`.
        kernel: `[..., channels seen, features]`. Outside `by_column`, channels are
            never flattened together with the pixels: that would mix the columns.

    Returns:
        `[batch, features]`.
    """

    def dense(x: jax.Array, kernel: jax.Array) -> jax.Array:
        inputs = math.prod(kernel.shape[:-1])
        return x.reshape(-1, inputs) @ kernel.reshape(inputs, -1)

    return by_column(
        dense, x, kernel, sees=sees, num_columns=num_columns, output_ndim=2
    )


def bytes_per_device(tree: Any) -> int:
    """Bytes of a tree of arrays on the first device that holds each array."""
    shards = [leaf.addressable_shards[0].data for leaf in jax.tree.leaves(tree)]
    return sum(shard.nbytes for shard in shards)
