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

from alexnet_jax.bias import plus_bias
from alexnet_jax.config import MeshConfig, Sees
from alexnet_jax.convolution import convolve
from alexnet_jax.errors import UserError
from alexnet_jax.system.devices import platform


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
    taken = devices[: data * column]
    _refuse_idle_processes(taken, devices)
    # Auto lets the compiler place everything between the calls of `by_column`.
    return jax.make_mesh(
        (data, column),
        ("data", "column"),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=taken,
    )


def _refuse_idle_processes(taken: Sequence[Any], devices: Sequence[Any]) -> None:
    idle = {d.process_index for d in devices} - {d.process_index for d in taken}
    if idle:
        raise UserError(
            f"a mesh of {len(taken)} devices leaves process {min(idle)} without one: "
            "choose --run.mesh.data and --run.mesh.column for all "
            f"{len(devices)} devices, or start fewer processes."
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
        return NamedSharding(mesh, _spec(leaf.ndim, None, "column") if splits else P())

    return jax.tree.map(sharding, state)


Linear = Callable[[jax.Array, jax.Array], jax.Array]
"""A linear operation on x, with a kernel."""


def by_column(
    operation: Linear,
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    *,
    sees: Sees,
    num_slices: int,
    output_ndim: int,
) -> jax.Array:
    """Applies a linear operation column by column, and adds the bias.

    y = concatenate(operation(x as column c sees it, kernel[..., c]) for c) + bias,
    where kernel[..., c] is the c-th part of the last axis. On a mesh with `column` > 1
    each device computes its own column, and the only communication is an all-gather of
    x where the layer sees both columns. Kernel and bias get the dtype of x only on the
    devices, so along `data` their gradients are summed in float32.

    Args:
        x: `[batch, ..., channels]`; the devices along `data` divide the batch.
        kernel: float32 `[..., features]`, with the inputs of one column if sees is
            "own".
        bias: float32 `[features]`.
        sees: "image" (x is not split into columns), "own" or "both".
        num_slices: of a layer that sees its own column, where one device holds all:
            the number of columns, or 1 if the operation computes them all at once.
        output_ndim: number of axes of the result.

    Returns:
        `[batch, ..., features]` of the dtype of x.
    """
    data, column = _axes_of_mesh(kernel.shape[-1])
    on_device = partial(
        _on_device,
        operation,
        data=data,
        gathers=sees == "both" and column is not None,
        num_slices=num_slices if sees == "own" and column is None else 1,
    )
    if data is None and column is None:
        return on_device(x, kernel, bias)
    of_x = _spec(x.ndim, data, None if sees == "image" else column)
    island = jax.shard_map(
        on_device,
        in_specs=(of_x, _spec(kernel.ndim, None, column), P(column)),
        out_specs=_spec(output_ndim, data, column),
    )
    return island(x, kernel, bias)


def _axes_of_mesh(features: int) -> tuple[str | None, str | None]:
    """The axes that split the batch and the features; None where one device has all.

    An axis of one device must not be named in a spec: the gradients would pass through
    an all-reduce over that one device, which is not free.
    """
    shape = jax.sharding.get_abstract_mesh().shape
    on_devices = shape.get("column", 1)
    data = "data" if shape.get("data", 1) > 1 else None
    return data, "column" if on_devices > 1 and features % on_devices == 0 else None


def _on_device(
    operation: Linear,
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    *,
    data: str | None,
    gathers: bool,
    num_slices: int,
) -> jax.Array:
    """What one device computes of its part of the arrays."""
    if data:
        # Here, so that the gradients are summed before they lose precision below: the
        # sum takes place where a parameter starts to vary between devices.
        kernel, bias = jax.lax.pcast((kernel, bias), data, to="varying")
    x = _gathered(x) if gathers else x
    y = _in_slices(operation, x, kernel.astype(x.dtype), num_slices)
    return plus_bias(y, bias.astype(x.dtype))


def _in_slices(
    operation: Linear, x: jax.Array, kernel: jax.Array, num_slices: int
) -> jax.Array:
    """The operation on one slice of x and kernel after the other."""
    if num_slices == 1:
        return operation(x, kernel)
    slices = zip(
        jnp.split(x, num_slices, axis=-1),
        jnp.split(kernel, num_slices, axis=-1),
        strict=True,
    )
    return jnp.concatenate([operation(*each) for each in slices], axis=-1)


def _gathered(x: jax.Array) -> jax.Array:
    """All columns of x. Gathered along a first axis: XLA on TPU would make an
    all-reduce, twice the bytes, of the gradient of a gather along a last axis."""
    parts = jax.lax.all_gather(x, "column")
    return jnp.concatenate(list(parts), axis=-1)


def _spec(ndim: int, first: str | None, last: str | None) -> P:
    """The first axis split over one axis of the mesh, the last over another."""
    return P(*[first, *[None] * (ndim - 1)][: ndim - 1], last)


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    *,
    stride: int,
    padding: tuple[int, int],
    sees: Sees,
    num_columns: int,
) -> jax.Array:
    """Convolution by columns.

    Args:
        x: `[batch, height, width, channels]`.
        kernel: `[height, width, channels seen, features]`.
        padding: pixels before and after, along both axes.
    """

    def operation(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return convolve(x, kernel, stride, padding)

    # On accelerators slices would be copies. On CPU XLA's grouped convolution is
    # several times slower than they are.
    num_slices = num_columns if platform() == "cpu" else 1
    return by_column(
        operation,
        x,
        kernel,
        bias,
        sees=sees,
        num_slices=num_slices,
        output_ndim=x.ndim,
    )


def matrix_product(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    *,
    sees: Sees,
    num_columns: int,
) -> jax.Array:
    """Contracts all axes of x but the first with all axes of the kernel but the last.

    Args:
        x: `[batch, ..., channels]`.
        kernel: `[..., channels seen, features]`. Outside `by_column`, channels are
            never flattened together with the pixels: that would mix the columns.

    Returns:
        `[batch, features]`.
    """

    def operation(x: jax.Array, kernel: jax.Array) -> jax.Array:
        inputs = math.prod(kernel.shape[:-1])
        return x.reshape(-1, inputs) @ kernel.reshape(inputs, -1)

    return by_column(
        operation, x, kernel, bias, sees=sees, num_slices=num_columns, output_ndim=2
    )


def bytes_per_device(tree: Any) -> int:
    """Bytes of a tree of arrays on the first device that holds each array."""
    shards = [leaf.addressable_shards[0].data for leaf in jax.tree.leaves(tree)]
    return sum(shard.nbytes for shard in shards)
