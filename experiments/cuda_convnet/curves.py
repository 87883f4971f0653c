"""Curves of training error by epochs, for Figure 1 of the paper."""

import statistics
from pathlib import Path
from typing import Any, NamedTuple

from alexnet_jax.training import metrics_writer
from experiments.cuda_convnet.settings import Settings

LIMIT = 0.25  # training error (paper, Figure 1)


class Curve(NamedTuple):
    """Training error of one run, over all training images after each epoch."""

    activation: str
    learning_rate: float
    seed: int
    errors: list[float]
    """Fractions; empty if the run diverged."""
    reached: float | None
    """Epochs to 25 %, interpolated linearly between two epochs; None if it was not
    reached."""


def read(directory: Path, settings: Settings) -> Curve:
    """Reads the curve of a run directory."""
    records = metrics_writer.read_records(directory)
    return Curve(
        settings.activation,
        settings.learning_rate or 0.0,
        settings.seed,
        [r["top1_error"] for r in records if r["kind"] == "train_end"],
        next((r["crossing"] for r in records if r["kind"] == "reached"), None),
    )


def fastest(curves: list[Curve], epochs: int) -> Curve:
    """The curve that is lowest after `epochs` epochs; later ones do not count."""
    return min(curves, key=lambda curve: error_after(curve, epochs))


def error_after(curve: Curve, epochs: int) -> float:
    """Training error after `epochs` epochs, or at the end if that is earlier; 1 for a
    run that diverged."""
    return curve.errors[:epochs][-1] if curve.errors else 1.0


def times(curves: list[Curve]) -> dict[str, list[Any]]:
    """Epochs to 25 % by activation, None for a run that did not reach it."""
    return {
        activation: [c.reached for c in curves if c.activation == activation]
        for activation in ("relu", "tanh")
    }


def ratio(curves: list[Curve]) -> float | None:
    """Mean epochs to 25 % of tanh over those of ReLU; None where a run lacks them."""
    relu, tanh = times(curves).values()
    if not relu or not tanh or None in relu + tanh:
        return None
    return statistics.mean(tanh) / statistics.mean(relu)


def run_of(curve: Curve) -> dict[str, Any]:
    """The run behind a curve, for a record."""
    return {
        "activation": curve.activation,
        "learning_rate": curve.learning_rate,
        "seed": curve.seed,
    }


def points(curve: Curve) -> list[dict[str, float]]:
    return [{"epoch": n, "top1_error": e} for n, e in enumerate(curve.errors, 1)]
