"""Part 1, Figure 2: the layers, what they cost, and what passes between the columns."""

import math
from typing import Any, NamedTuple

from alexnet_jax.config import CONV_LAYERS, Config
from alexnet_jax.explanation.subject import Subject
from alexnet_jax.figures import network as figure2
from alexnet_jax.weights import operations
from alexnet_jax.weights.operations import Conv, Dense, MaxPool, Operation, SpatialNorm


class Field(NamedTuple):
    """The pixels of the view that a unit of a map sees, along each axis.

    Unit i sees the `size` pixels from `first + i * step` on; those outside the view are
    zeros.
    """

    size: int
    step: int
    first: int


_ONE_PIXEL = Field(1, 1, 0)


def collect(subject: Subject) -> list[dict[str, Any]]:
    """The image and the layers, in order: those of `figures.network`, and for each
    layer its kernel, parameters, multiplications, bytes and fields."""
    steps = operations.of_network(subject.model.network)
    fields = fields_of(steps)
    linear = {one.layer: one for one in steps if one.stage == "linear"}
    found = []
    for layer in figure2.collect(subject.config):
        entry: dict[str, Any] = dict(layer._asdict())
        if layer.name in linear:
            entry |= _facts(subject, steps, linear[layer.name])
        if layer.name in CONV_LAYERS:
            entry["field"] = fields[f"{layer.name}.activation"]._asdict()
        found.append(entry)
    return found


def _facts(
    subject: Subject, steps: list[Operation], linear: Operation
) -> dict[str, Any]:
    parameters = subject.model.network.params[linear.layer]
    facts = {
        "parameters": sum(array.size for array in parameters.values()),
        "products": products(linear),
        "bytes": bytes_between(subject.config, steps, linear),
    }
    if isinstance(linear.kind, Conv):
        facts |= {"kernel": linear.kind.kernel, "stride": linear.kind.stride}
    return facts


def products(linear: Operation) -> int:
    """Multiplications of a convolution or a matrix product, for one image."""
    match linear.kind:
        case Conv() as conv:
            inputs = conv.kernel**2 * conv.inputs // conv.groups
        case Dense() as dense:
            inputs = dense.side**2 * dense.maps // dense.groups
        case _:
            raise TypeError(linear.name)
    return inputs * math.prod(linear.shape)


def bytes_between(config: Config, steps: list[Operation], linear: Operation) -> int:
    """Bytes that pass between the columns before a layer, for one image.

    Where a layer sees both, each value of its input goes to the other columns.
    """
    if getattr(config.model, linear.layer).sees != "both":
        return 0
    before = steps[steps.index(linear) - 1]
    width = 2 if config.model.precision == "bfloat16" else 4
    return width * math.prod(before.shape) * (config.model.num_columns - 1)


def fields_of(steps: list[Operation]) -> dict[str, Field]:
    """The field of a unit in each stage of the convolutional layers."""
    fields, field = {}, _ONE_PIXEL
    for one in steps:
        match one.kind:
            case Conv() as conv:
                field = _after(field, conv.kernel, conv.stride, conv.padding[0])
            case MaxPool() as pool:
                field = _after(field, pool.window, pool.stride, 0)
            case SpatialNorm() as norm:
                field = _after(field, norm.size, 1, norm.size // 2)
        fields[one.name] = field
    return fields


def _after(field: Field, window: int, stride: int, padding: int) -> Field:
    size = field.size + (window - 1) * field.step
    return Field(size, field.step * stride, field.first - padding * field.step)
