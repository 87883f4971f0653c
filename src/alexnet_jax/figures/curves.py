"""Learning curves of a run: errors, loss against chance, learning rate."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alexnet_jax import trained
from alexnet_jax.config import Config
from alexnet_jax.errors import UserError
from alexnet_jax.figures import drawing
from alexnet_jax.training import metrics_writer, workdir

_NAMES = ("step", "epoch", "loss", "top1_error", "top5_error", "learning_rate")
_FEW_EPOCHS = 3  # with fewer, each record is drawn
_MANY_CLASSES = 20  # with fewer, the top-5 error says little
_DROP: Any = {"color": drawing.GREY, "ls": "--", "lw": 0.8}
_ROUNDING = 1e-4  # of the epochs in records


class Curves(NamedTuple):
    """The metrics of a run, by name, one value per record; errors are fractions."""

    train: dict[str, list[float]]
    """On augmented images, with dropout: "step", "epoch", "loss", "top1_error",
    "learning_rate"."""
    test: dict[str, list[float]]
    """On the whole evaluation split, centre view: "step", "epoch", "loss",
    "top1_error", "top5_error"."""
    num_classes: int
    drops: list[float]
    """Epochs at which the learning rate dropped; empty for a continuous schedule."""


def collect(directory: Path) -> Curves:
    """Reads the curves of a run directory.

    Raises:
        UserError: there is no run, or it has logged no training step yet.
    """
    if trained.locate(directory).is_file():
        raise UserError(
            f"{directory} is a network without the records of its training: only a run "
            "directory has curves."
        )
    config = workdir.read_config(directory)
    records = metrics_writer.read_records(directory)
    train = _columns([record for record in records if record["kind"] == "train"])
    test = _columns([record for record in records if record["kind"] == "eval"])
    if not train["epoch"]:
        raise UserError(f"{directory / metrics_writer.FILE} has no training steps yet.")
    possible = _possible_drops(config, test["epoch"])
    drops = [] if possible is None else _drops(train, possible)
    return Curves(train, test, config.model.num_classes, drops)


def _columns(records: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Values by name; NaN for values missing or not finite."""
    return {name: [_value(record.get(name)) for record in records] for name in _NAMES}


def _value(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _possible_drops(config: Config, evaluated: list[float]) -> list[float] | None:
    """Epochs at which the schedule may lower the rate; None if it has no drops."""
    settings = config.optimizer
    match settings.schedule:
        case "epochs":
            return list(settings.drop_epochs)
        case "levels":
            length = config.num_epochs / settings.levels
            return [length * level for level in range(1, settings.levels)]
        case "plateau":
            return evaluated
    return None


def _drops(train: dict[str, list[float]], possible: list[float]) -> list[float]:
    """The epochs of the drops: those possible between a record and one with a lower
    rate; the end of the first record if there are none, after a change of plan.

    The rate of a step is that of the epochs done before it.
    """
    rates, epochs = train["learning_rate"], train["epoch"]
    drops: list[float] = []
    for i in range(1, len(rates)):
        if rates[i] < 0.99 * rates[i - 1]:
            step = epochs[i] / train["step"][i] + _ROUNDING
            low, high = epochs[i - 1] - step, epochs[i]
            drops += [e for e in possible if low < e < high] or [epochs[i - 1]]
    return drops


def by_epoch(curves: Curves) -> dict[str, np.ndarray]:
    """Means of training loss and error over the steps of each epoch, at its middle.

    Returns:
        "epoch", "loss" and "top1_error", one value per epoch; in a run of under 3
        epochs, one per record.
    """
    step, end = np.array(curves.train["step"]), np.array(curves.train["epoch"])
    start = np.concatenate([[0.0], end[:-1]])
    steps = np.diff(step, prepend=0)
    ends = _ends(steps, curves.test["step"])
    group = np.searchsorted(ends, step)
    parts = [group == i for i in range(len(ends)) if (group == i).any()]
    means = {"epoch": [(start[part][0] + end[part][-1]) / 2 for part in parts]}
    for name in ("loss", "top1_error"):
        values = np.array(curves.train[name])
        means[name] = [np.average(values[part], weights=steps[part]) for part in parts]
    return {name: np.array(values) for name, values in means.items()}


def _ends(steps: np.ndarray, evaluations: list[float]) -> list[float]:
    """The steps that end an epoch, which are those of the evaluations. If they are few,
    those of records; short ones are joined, since a mean of few steps is noise."""
    if len(evaluations) >= _FEW_EPOCHS:
        return evaluations
    ends = [0.0]
    for step in np.cumsum(steps):
        if step - ends[-1] >= steps.max():
            ends.append(float(step))
    return ends[1:]


def draw(curves: Curves) -> Any:
    """Draws errors, loss and learning rate, one above the other."""
    figure = drawing.new_figure(drawing.WIDTH, 5.8)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2.4, 1])
    for axes, fill in zip(panels, (draw_error, _draw_loss, _draw_rate), strict=True):
        fill(axes, curves)
        if axes.get_legend_handles_labels()[0]:
            # Beside the panel, where it covers no curve.
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1.05))
    panels[2].set_xlabel("epoch")
    drawing.note(
        figure,
        "Training: means over each epoch (each record of a short run), with the run's "
        "augmentation and dropout. Test: after it, centre view.",
    )
    return figure


def draw_error(axes: Any, curves: Curves) -> None:
    """Draws errors in percent, with the best and the last evaluation marked."""
    train, test = by_epoch(curves), curves.test
    error = 100 * np.array(test["top1_error"])
    _line(
        axes,
        train["epoch"],
        100 * train["top1_error"],
        drawing.ACCENT,
        "top-1, training",
    )
    _line(axes, test["epoch"], error, drawing.DARK, "top-1, test")
    if curves.num_classes > _MANY_CLASSES:
        top5 = 100 * np.array(test["top5_error"])
        _line(axes, test["epoch"], top5, drawing.DARK, "top-5, test", ls="--")
    _mark(axes, np.array(test["epoch"]), error)
    drawing.logarithmic(axes)
    axes.set_ylim(top=min(105, axes.get_ylim()[1]))
    axes.set_ylabel("error, %")
    _finish(axes, curves)


def _mark(axes: Any, epoch: np.ndarray, error: np.ndarray) -> None:
    """Marks the lowest and the last error; their values are in the legend."""
    if not np.isfinite(error).any():
        return
    best, last = int(np.nanargmin(error)), len(error) - 1
    places = {best: "best", last: "last" if last != best else "last and best"}
    for place, name in places.items():
        axes.plot(
            epoch[place],
            error[place],
            "*" if place == best else "o",
            ms=11 if place == best else 6,
            color=drawing.DARK,
            mec="white",
            ls="none",
            zorder=3,
            label=f"{name}: {error[place]:.2f} % (epoch {_short(epoch[place])})",
        )


def _draw_loss(axes: Any, curves: Curves) -> None:
    train, test = by_epoch(curves), curves.test
    _line(axes, train["epoch"], train["loss"], drawing.ACCENT, "training")
    _line(axes, test["epoch"], test["loss"], drawing.DARK, "test")
    chance = math.log(curves.num_classes)
    label = f"guessing: ln {curves.num_classes} = {chance:.2f}"
    axes.axhline(chance, color="black", ls=(0, (1, 2)), lw=1, label=label)
    drawing.logarithmic(axes)
    axes.set_ylabel("loss, nats")
    _finish(axes, curves)


def _draw_rate(axes: Any, curves: Curves) -> None:
    """A record has the rate of its last step."""
    rates, epochs = curves.train["learning_rate"], [0.0, *curves.train["epoch"]]
    style = "steps-pre" if curves.drops else "default"
    axes.plot(epochs, [rates[0], *rates], drawstyle=style, color="black", lw=1.2)
    if curves.drops:
        drawing.logarithmic(axes, digits=(1,))
        at = ", ".join(_short(epoch) for epoch in curves.drops)
        axes.plot([], [], **_DROP, label=f"drops: epoch {at}")
    else:
        axes.set_ylim(0, 1.1 * max(rates))
    axes.set_ylabel("learning\nrate")
    _finish(axes, curves)


def _line(axes: Any, x: Any, y: Any, color: str, label: str, ls: str = "-") -> None:
    marker = "o" if len(x) <= 12 else None
    axes.plot(x, y, ls, color=color, label=label, marker=marker, ms=3.5, lw=1.6)


def _finish(axes: Any, curves: Curves) -> None:
    for epoch in curves.drops:
        axes.axvline(epoch, **_DROP)
    axes.grid(axis="y", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_xlim(0, 1.01 * max(curves.train["epoch"]))


def _short(epoch: float) -> str:
    """40 for 40.04, the end of the first step that completes the epoch."""
    return f"{epoch:.{1 if epoch >= 1 else 2}f}".rstrip("0").rstrip(".")
