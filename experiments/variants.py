"""What an experiment is made of: changes to a configuration, and figures to compare."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from alexnet_jax.config import Config


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the authors report of a variant: the change of top-1 error against the
    baseline, in points (percent of the images), positive where it is worse."""

    paper: float | None = None
    """As printed in the paper."""
    log: float | None = None
    """Computed from the logs in the 2012 source release."""
    source: str


def changed(config: Config, changes: dict[str, Any]) -> Config:
    """A configuration with other values at dotted names, "model.conv1.pool.window"."""
    for name, value in changes.items():
        config = _set(config, name.split("."), value)
    return config


def _set(config: Any, path: list[str], value: Any) -> Any:
    name, *rest = path
    if rest:
        value = _set(getattr(config, name), rest, value)
    return dataclasses.replace(config, **{name: value})


def differences(base: Config, variant: Config) -> dict[str, tuple[Any, Any]]:
    """Dotted names of the fields that differ, with both values."""
    old, new = (_flat(dataclasses.asdict(config)) for config in (base, variant))
    return {
        name: (old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    }


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def shortened(config: Config, num_epochs: float) -> Config:
    """The run with all its epochs stretched or shrunk in proportion."""
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
