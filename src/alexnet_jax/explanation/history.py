"""Part 8: the errors of the training, from the log of a run or from the record of a
network that comes with the package."""

from pathlib import Path
from typing import Any

from alexnet_jax import trained
from alexnet_jax.config import Config
from alexnet_jax.errors import UserError
from alexnet_jax.explanation import packing
from alexnet_jax.figures import curves
from alexnet_jax.system import atomic_files
from alexnet_jax.training import record

_SHIPPED = Path(trained.__file__).parent


def collect(path: Path, config: Config) -> dict[str, Any] | None:
    """Curves and the last errors, which are fractions.

    Args:
        path: run directory or weights file; a file of others has no history.
    """
    if path.is_dir():
        return _of_run(path, config)
    if path.parent == _SHIPPED:
        return _of_record(atomic_files.read_json(path.with_suffix(".json")), config)
    return None


def _of_run(path: Path, config: Config) -> dict[str, Any] | None:
    try:
        found = curves.collect(path)
    except UserError:  # no step yet
        return None
    means = curves.by_epoch(found)
    return {
        "train": {name: packing.rounded(means[name]) for name in means},
        "test": {
            name: packing.rounded(found.test[name])
            for name in ("epoch", "loss", "top1_error")
        },
        "drops": found.drops,
        "rate": [
            packing.rounded(found.train[name], 8) for name in ("epoch", "learning_rate")
        ],
        **_end(_outcome(path), config),
    }


def _outcome(path: Path) -> dict[str, Any]:
    try:
        return record.outcome(path)
    except UserError:  # not evaluated yet
        return {}


def _of_record(stored: dict[str, Any], config: Config) -> dict[str, Any]:
    curve = stored["curve"]
    names = ("epoch", "loss", "top1_error")
    return {
        "train": None,
        "test": {name: [point[name] for point in curve] for name in names},
        "drops": _planned_drops(config),
        "rate": None,
        **_end(stored, config),
    }


def _planned_drops(config: Config) -> list[float]:
    """Epochs at which the schedule lowers the rate, as far as it says so."""
    settings = config.optimizer
    return list(settings.drop_epochs) if settings.schedule == "epochs" else []


def _end(outcome: dict[str, Any], config: Config) -> dict[str, Any]:
    names = ("result", "epochs", "steps", "minutes", "processor", "cores", "devices")
    kept = {name: outcome.get(name) for name in (*names, "mesh")}
    return kept | {"command": record.command(config), "split": config.data.eval_split}
