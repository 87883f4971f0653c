"""Building blocks of an experiment: changes to a configuration, figures to compare."""

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alexnet_jax import config_json
from alexnet_jax.config import Config
from alexnet_jax.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Target:
    """The authors' figure for a variant: its top-1 error minus that of the baseline, in
    points (percent of the images); positive is worse."""

    paper: float | None = None
    """As printed in the paper."""
    log: float | None = None
    """Computed from the logs in the 2012 source release."""
    source: str


def changed(config: Config, changes: dict[str, Any]) -> Config:
    """Returns `config` with new values at dotted names ("model.conv1.pool.window").

    Raises:
        UserError: there is no such field; the message names the closest one.
    """
    for name, value in changes.items():
        try:
            config = _set(config, name.split("."), value)
        except AttributeError as error:
            hint = did_you_mean(name, _flat(config))
            raise UserError(f"the configuration has no field {name!r}{hint}") from error
    return config


def _set(config: Any, path: list[str], value: Any) -> Any:
    """Raises AttributeError where there is no such field."""
    name, *rest = path
    old = getattr(config, name)
    if name not in getattr(config, "__dataclass_fields__", ()):
        raise AttributeError(name)
    new = _set(old, rest, value) if rest else value
    return dataclasses.replace(config, **{name: new})


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ends a message about an unknown name with the closest known one, if any."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else "."


def differences(base: Config, variant: Config) -> dict[str, tuple[Any, Any]]:
    """Dotted names of the fields that differ, with both values."""
    return config_json.differing(_flat(base), _flat(variant))


def _flat(config: Config) -> dict[str, Any]:
    return config_json.flatten(dataclasses.asdict(config))


def shortened(config: Config, num_epochs: float) -> Config:
    """Scales the run to `num_epochs` and the epochs of its schedules in proportion."""
    share = num_epochs / config.num_epochs
    optimizer, augment = config.optimizer, config.augment
    until = augment.color_shift_until
    return dataclasses.replace(
        config,
        num_epochs=num_epochs,
        optimizer=dataclasses.replace(
            optimizer,
            drop_epochs=tuple(epoch * share for epoch in optimizer.drop_epochs),
            layer_rates=tuple(
                (layer, epoch * share, rate)
                for layer, epoch, rate in optimizer.layer_rates
            ),
        ),
        augment=dataclasses.replace(
            augment, color_shift_until=None if until is None else until * share
        ),
    )
