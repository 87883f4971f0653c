"""Figures of an experiment: changes of the error as bars, and learning curves."""

from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.figures.drawing import new_figure
from experiments import seeds
from experiments.plan import Experiment
from experiments.results import Row, change

LEAST_POINTS = 3  # of a curve
_COLORS = {"paper": "#7f7f7f", "authors' logs": "#1f77b4", "ours": "#d62728"}


def draw(experiment: Experiment, rows: list[Row], folder: Path) -> list[str]:
    """Draws the figures that have data; returns their file names."""
    drawn = []
    for name, plot in (("change", _bars), ("curves", _curves)):
        figure = plot(experiment, rows)
        if figure is not None:
            file_name = f"{experiment.name}-{name}.png"
            figure.savefig(folder / file_name, dpi=120)
            drawn.append(file_name)
    return drawn


def _bars(experiment: Experiment, rows: list[Row]) -> Any:
    """Change of top-1 error per variant: paper, logs, and ours with its deviation."""
    others = [row for row in rows if row.variant != experiment.baseline]
    measured = {row.variant: change(row, rows[0]) for row in others}
    if not any(measured.values()) and not any(row.target for row in others):
        return None
    figure = new_figure(6.4, 0.9 + 0.75 * len(others))
    axes = figure.add_subplot()
    for position, row in enumerate(others):
        target, ours = row.target, measured[row.variant]
        values = {
            "paper": target.paper if target else None,
            "authors' logs": target.log if target else None,
            "ours": seeds.mean(ours) if ours else None,
        }
        for offset, (name, value) in zip((-0.25, 0, 0.25), values.items(), strict=True):
            if value is not None:
                error = seeds.deviation(ours) if name == "ours" else None
                axes.barh(
                    position + offset, value, 0.22, color=_COLORS[name], xerr=error
                )
    for name, color in _COLORS.items():
        axes.barh(0, 0, color=color, label=name)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(others)), [row.variant for row in others])
    axes.invert_yaxis()
    axes.set_xlabel("change of top-1 error, points (right: worse than the baseline)")
    axes.set_title(experiment.question, fontsize="medium")
    axes.legend(fontsize="small")
    return figure


def _curves(experiment: Experiment, rows: list[Row]) -> Any:
    """Top-1 error after each epoch, averaged over seeds, where there are three."""
    rows = [row for row in rows if _length(row) >= LEAST_POINTS]
    if not rows:
        return None
    figure = new_figure(6.4, 4)
    axes = figure.add_subplot()
    for row in rows:
        length = _length(row)
        errors = [
            [100 * record["top1_error"] for record in run.evaluations[:length]]
            for run in row.runs
        ]
        epochs = [record["epoch"] for record in row.runs[0].evaluations[:length]]
        axes.plot(
            epochs,
            np.mean(errors, axis=0),
            label=f"{row.variant}, n = {len(row.runs)}",
            marker="." if length < 10 else None,
        )
    axes.set(xlabel="epoch", ylabel="top-1 error, %", xlim=(0, None), ylim=(0, None))
    axes.set_title(experiment.question, fontsize="medium")
    axes.legend(fontsize="small")
    return figure


def _length(row: Row) -> int:
    """Evaluations that all runs of a variant have."""
    return min((len(run.evaluations) for run in row.runs), default=0)
