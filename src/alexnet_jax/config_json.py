"""A configuration to JSON and back, and the differences between two of them."""

import contextlib
import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from alexnet_jax import config_checks
from alexnet_jax.config import Config, Norm
from alexnet_jax.errors import UserError

# Old names of fields, as files of older versions have them.
_OLD_NAMES: dict[Any, dict[str, str]] = {Norm: {"place": "position"}}


def to_json(config: Config) -> dict[str, Any]:
    """The fields as JSON stores them: tuples become lists."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def completed(old: dict[str, Any]) -> dict[str, Any]:
    """Adds fields newer than the run, with the defaults: what was done before."""
    try:
        return to_json(_build(Config, old, ""))
    except (TypeError, KeyError):
        return old


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields as one dictionary from dotted names."""
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple]:
    """The names whose values differ, with both values; "absent" where one has none."""
    pairs = {
        name: (old.get(name, "absent"), new.get(name, "absent"))
        for name in sorted(old.keys() | new.keys())
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def differing_lines(
    old: Mapping[str, Any], new: Mapping[str, Any], option: str = "--"
) -> list[str]:
    """One line per name that differs, for a message: "  --seed: 0 there, 1 now"."""
    return [
        f"  {option}{name.replace('_', '-') if option else name}: {there} there, "
        f"{now} now"
        for name, (there, now) in differing(old, new).items()
    ]


def build_config(content: Any, path: Path) -> Config:
    """A configuration from parsed JSON.

    Args:
        path: of the file, for the message.

    Raises:
        UserError: it is not a configuration of this version, or fails the checks.
    """
    try:
        config = _build(Config, content, "")
    except (TypeError, KeyError) as error:
        raise UserError(
            f"{path} is not of this version of the package, or damaged ({error})."
        ) from error
    config_checks.check_config(config)
    return config


def _build(kind: Any, value: Any, name: str) -> Any:
    """A value of type `kind` from parsed JSON; lists become tuples.

    Args:
        name: dotted name of the value, for the message.

    Raises:
        TypeError: it has another type, or a field is missing or unknown.
    """
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        kinds, renamed = typing.get_type_hints(kind), _OLD_NAMES.get(kind, {})
        value = {renamed.get(n, n): v for n, v in value.items()}
        fields = {n: _build(kinds[n], v, f"{name}.{n}") for n, v in value.items()}
        return cast(Any, kind)(**fields)
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        kinds = arguments
        if kinds[-1] is ...:
            kinds = (kinds[0],) * len(value)
        if len(kinds) == len(value):
            pairs = zip(kinds, value, strict=True)
            return tuple(_build(item_kind, item, name) for item_kind, item in pairs)
    if typing.get_origin(kind) in (types.UnionType, typing.Union):  # int | None
        for alternative in arguments:
            with contextlib.suppress(TypeError):
                return _build(alternative, value, name)
    if typing.get_origin(kind) is typing.Literal and isinstance(value, str):
        if value in arguments:
            return value
    # Not isinstance: in Python True is an int.
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise TypeError(f"{name.lstrip('.') or 'the whole'} is {str(value)[:100]!r}")
