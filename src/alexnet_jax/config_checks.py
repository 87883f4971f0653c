"""Checks of a configuration before any work: one clear message each, as `UserError`.

Each number must lie in the range beside its field, in a configuration and in the
options of any command; other checks relate several fields. Also the map sizes of a
network, which are arithmetic on its configuration.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator
from numbers import Real
from typing import Annotated, Any

from alexnet_jax.config import (
    CONV_LAYERS,
    DENSE_LAYERS,
    Config,
    ConvLayer,
    DenseLayer,
    ModelConfig,
    OptimizerConfig,
    Pool,
)
from alexnet_jax.errors import UserError
from alexnet_jax.ranges import NonNegative, Range

_MAX_CHARS = 60  # of a value in a message


def conv_layers(model: ModelConfig) -> dict[str, ConvLayer]:
    """The convolutional layers by name, from the image up, absent ones included."""
    return {name: getattr(model, name) for name in CONV_LAYERS}


def map_sizes(model: ModelConfig, crop_size: int) -> dict[str, tuple[int, int]]:
    """Side of the maps of each convolutional layer, before and after its pooling.

    A convolution of n pixels gives floor((n + padding - kernel) / stride) + 1; see
    `pooling.max_pool` for pooling. alexnet2012 at 224: 55/27, 27/13, 13, 13, 13/6.
    """
    sizes = {}
    size = crop_size
    for name, layer in conv_layers(model).items():
        if name not in model.without:
            padded = size + sum(layer.padding)
            size = (padded - layer.kernel_size) // layer.stride + 1
        pooled = _pooled(size, layer.pool)
        sizes[name] = (size, pooled)
        size = pooled
    return sizes


def _pooled(size: int, pool: Pool) -> int:
    steps = size - pool.window
    last = -(-steps // pool.stride) if pool.ceil else steps // pool.stride
    return last + (1 if last * pool.stride < size else 0)


def check_config(config: Config) -> None:
    """Raises UserError for a mistake that shows in the configuration alone."""
    check_ranges(config)
    _check_columns(config.model)
    crop, stored = config.augment.crop_size, config.data.image_size
    if crop > stored:
        raise UserError(
            f"--augment.crop-size {crop} is larger than the stored images "
            f"(--data.image-size {stored}): make the crop smaller or the images larger."
        )
    for name, (size, pooled) in map_sizes(config.model, crop).items():
        if min(size, pooled) < 1:
            raise UserError(
                f"the maps of {name} vanish: {size} pixels per side, {pooled} after "
                f"pooling, from a crop of {crop}. Make --augment.crop-size larger, or "
                f"--model.{name}.stride or --model.{name}.pool.window smaller."
            )
    for layer, _, _ in config.optimizer.layer_rates:
        _check_layer(layer, "--optimizer.layer-rates")
    layer_multipliers(config.optimizer)


def layer_multipliers(settings: OptimizerConfig) -> dict[str, float]:
    """The factors on the learning rates, by layer.

    Raises:
        UserError: one names no layer or has no factor, or a layer has two rules.
    """
    option = "--optimizer.layer-multipliers"
    factors: dict[str, float] = {}
    for text in settings.layer_multipliers:
        layer, _, factor = text.partition(":")
        _check_layer(layer, option)
        if layer in factors or layer in {name for name, _, _ in settings.layer_rates}:
            raise UserError(
                f"{option} {text}: {layer} has another factor, or a rate by "
                "--optimizer.layer-rates, which no factor changes. Keep one of them."
            )
        try:
            factors[layer] = float(factor)
        except ValueError:
            raise UserError(
                f"{option} {text}: write LAYER:FACTOR, for example {layer}:0.1."
            ) from None
        _check_number(factors[layer], NonNegative[float], f"{option} {text}")
    return factors


def _check_layer(layer: str, option: str) -> None:
    names = CONV_LAYERS + DENSE_LAYERS
    if layer not in names:
        near = difflib.get_close_matches(layer, names, n=1)
        hint = f" (meant {near[0]}?)" if near else ""
        raise UserError(
            f"{option} names {layer!r}{hint}: the layers are {', '.join(names)}."
        )


def _check_number(value: float, kind: Any, typed: str) -> None:
    for number, allowed in _numbers(value, kind):
        if not _is_within(number, allowed):
            raise UserError(f"{typed} must be {_described(allowed)}.")


def check_ranges(options: Any, prefix: str = "--") -> None:
    """Checks all numbers of a dataclass, and of those in it, against their ranges.

    Args:
        options: an instance whose numbers have a `Range` in their type.
        prefix: of the names on the command line.

    Raises:
        UserError: a number lies outside its range, or is NaN or infinite.
    """
    hints = typing.get_type_hints(type(options), include_extras=True)
    for field in dataclasses.fields(options):
        value, hint = getattr(options, field.name), hints[field.name]
        option = prefix + field.name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            check_ranges(value, prefix if _is_unnamed(hint) else f"{option}.")
        for number, allowed in _numbers(value, hint):
            if not _is_within(number, allowed):
                typed = f"{option} {_as_typed(value)}"
                if isinstance(value, tuple):
                    typed += f": {_as_typed(number)}"
                raise UserError(f"{typed} must be {_described(allowed)}.")


def _is_unnamed(hint: Any) -> bool:
    """True where the command line has the fields without the name of the dataclass,
    which is `tyro.conf.arg(name="")`."""
    return any(getattr(note, "name", None) == "" for note in _notes(hint))


def _notes(hint: Any) -> tuple[Any, ...]:
    return getattr(hint, "__metadata__", ())


def _numbers(value: Any, hint: Any) -> Iterator[tuple[Any, Range]]:
    """The numbers in a value with their ranges, by the type of its field."""
    kinds = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is Annotated:
        yield from _numbers(value, kinds[0])
        if isinstance(value, Real):
            yield from ((value, n) for n in _notes(hint) if isinstance(n, Range))
    elif origin is tuple and isinstance(value, tuple):
        if kinds[-1] is ...:
            kinds = (kinds[0],) * len(value)
        for item, kind in zip(value, kinds, strict=False):
            yield from _numbers(item, kind)
    elif origin in (types.UnionType, typing.Union):  # int | None
        for kind in kinds:
            yield from _numbers(value, kind)


def _is_within(number: float, allowed: Range) -> bool:
    above = number > allowed.low if allowed.open_low else number >= allowed.low
    below = number < allowed.high if allowed.open_high else number <= allowed.high
    return above and below  # NaN is neither


def _as_typed(value: Any) -> str:
    """A value as on the command line, shortened if it is long."""
    parts = value if isinstance(value, tuple) else (value,)
    words = (
        _as_typed(part) if isinstance(part, tuple) else str(part).removesuffix(".0")
        for part in parts
    )
    text = " ".join(words)
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}..."


def _described(allowed: Range) -> str:
    if allowed.open_low:
        end = "below" if allowed.open_high else "at most"
        return f"greater than {allowed.low:,} and {end} {allowed.high:,}"
    end = "to below" if allowed.open_high else "to"
    return f"from {allowed.low:,} {end} {allowed.high:,}"


def _check_columns(model: ModelConfig) -> None:
    for name in CONV_LAYERS + DENSE_LAYERS:
        layer: ConvLayer | DenseLayer = getattr(model, name)
        must_split = name != "fc8" or layer.sees == "own"
        if must_split and layer.features % model.num_columns:
            raise UserError(
                f"--model.{name}.features {layer.features} does not split into "
                f"{model.num_columns} columns (--model.num-columns)."
            )
        if layer.sees == "image" and name != "conv1":
            raise UserError(
                f"--model.{name}.sees image: only conv1 sees the image; the choice "
                "is own or both."
            )
    if model.conv1.sees != "image":
        raise UserError(
            f"--model.conv1.sees {model.conv1.sees}: the image has no columns, so "
            "conv1 sees image."
        )


def check_batch(config: Config, data_devices: int) -> None:
    """Raises UserError if the batch does not split over the devices along `data`, or
    the part of a device does not split into microbatches."""
    if config.batch_size % data_devices:
        raise UserError(
            f"--batch-size {config.batch_size} does not split over {data_devices} "
            "devices (--run.mesh.data): make it a multiple."
        )
    each = config.batch_size // data_devices
    if each % config.microbatches:
        raise UserError(
            f"--microbatches {config.microbatches} does not divide the {each} images "
            f"of a device (--batch-size {config.batch_size}): make it a divisor."
        )
