"""A configuration to JSON and back, and how two of them differ."""

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

# Fields that have other names in files of older versions.
_OLD_NAMES: dict[Any, dict[str, str]] = {Norm: {"place": "position"}}


def to_json(config: Config) -> dict[str, Any]:
    """The fields as JSON has them: lists for tuples."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def completed(old: dict[str, Any]) -> dict[str, Any]:
    """With the values of fields that are younger than the run: what was done before."""
    try:
        return to_json(_build(Config, old, ""))
    except (TypeError, KeyError):
        return old


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by their dotted names."""
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
    """A configuration from what JSON made of it.

    Args:
        path: where it stood, for the message.

    Raises:
        UserError: it is none, one of another version, or one that cannot be run.
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
    """A value of that type from what JSON made of it; lists become tuples.

    Raises:
        TypeError: it is of another type; a field is missing or unknown.
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
            return tuple(_build(one, item, name) for one, item in pairs)
    if typing.get_origin(kind) in (types.UnionType, typing.Union):  # int | None
        for one in arguments:
            with contextlib.suppress(TypeError):
                return _build(one, value, name)
    if typing.get_origin(kind) is typing.Literal and isinstance(value, str):
        if value in arguments:
            return value
    # Not isinstance: in Python True is an int.
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise TypeError(f"{name.lstrip('.') or 'the whole'} is {str(value)[:100]!r}")
