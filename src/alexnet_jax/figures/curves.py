"""Learning curves of a run: errors, loss against chance, learning rate."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from alexnet_jax.errors import UserError
from alexnet_jax.figures import drawing
from alexnet_jax.training import metrics_writer, workdir

_STEPWISE = ("plateau", "epochs", "levels")
_NAMES = ("epoch", "loss", "top1_error", "top5_error", "learning_rate")


class Curves(NamedTuple):
    """The metrics of a run, by name; errors are fractions."""

    train: dict[str, list[float]]
    """On augmented images, with dropout: "epoch", "loss", "top1_error",
    "learning_rate"."""
    test: dict[str, list[float]]
    """On the whole evaluation split, centre view: "epoch", "loss", "top1_error",
    "top5_error"."""
    guessing: float
    """ln(classes), the loss at chance."""
    drops: list[float]
    """Epochs at which the learning rate dropped; empty for a continuous schedule."""


def collect(directory: Path) -> Curves:
    """Reads the curves of a run directory.

    Raises:
        UserError: there is no run, or it has logged no training step yet.
    """
    if directory.is_file():
        raise UserError(f"{directory} is a file: only a run directory has curves.")
    config = workdir.read_config(directory)
    records = metrics_writer.read_records(directory)
    train = _columns([record for record in records if record["kind"] == "train"])
    test = _columns([record for record in records if record["kind"] == "eval"])
    if not train["epoch"]:
        raise UserError(f"{directory / metrics_writer.FILE} has no training steps yet.")
    stepwise = config.optimizer.schedule in _STEPWISE
    return Curves(
        train,
        test,
        math.log(config.model.num_classes),
        _drops(train) if stepwise else [],
    )


def _columns(records: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Values by name; NaN for values missing or not finite."""
    return {name: [_value(record.get(name)) for record in records] for name in _NAMES}


def _value(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _drops(train: dict[str, list[float]]) -> list[float]:
    rates, epochs = train["learning_rate"], train["epoch"]
    return [epochs[i] for i in range(1, len(rates)) if rates[i] < 0.99 * rates[i - 1]]


def draw(curves: Curves) -> Any:
    """Draws errors, loss and learning rate, one above the other."""
    figure = drawing.new_figure(6.4, 6.0)
    error, loss, rate = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 3, 1]}
    )
    train, test = curves.train, curves.test
    epochs = train["epoch"]
    percent = [100 * value for value in train["top1_error"]]
    error.plot(epochs, percent, color=drawing.ACCENT, lw=1, label="top-1, training")
    for name, label, style in (
        ("top1_error", "top-1, test", "-"),
        ("top5_error", "top-5, test", "--"),
    ):
        percent = [100 * value for value in test[name]]
        error.plot(test["epoch"], percent, style, color=drawing.DARK, label=label)
    error.set_ylabel("error, %")
    loss.plot(epochs, train["loss"], color=drawing.ACCENT, lw=1, label="training")
    loss.plot(test["epoch"], test["loss"], color=drawing.DARK, label="test")
    loss.axhline(
        curves.guessing,
        color="black",
        ls=(0, (1, 2)),
        label=f"guessing, ln(classes) = {curves.guessing:.3f}",
    )
    loss.set_ylabel("loss")
    steps = {"drawstyle": "steps-post", "color": "black", "lw": 1}
    rate.plot(epochs, train["learning_rate"], **steps)
    if min(train["learning_rate"]) > 0:
        rate.set_yscale("log")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("epoch (training: augmented images, with dropout)")
    _finish((error, loss, rate), curves)
    return figure


def _finish(panels: tuple[Any, ...], curves: Curves) -> None:
    for axes in panels:
        for i, epoch in enumerate(curves.drops):
            label = "learning rate drops" if i == 0 else None  # once in the legend
            axes.axvline(epoch, color=drawing.GREY, ls="--", lw=0.8, label=label)
        axes.grid(axis="y", color="#dddddd", lw=0.6)
        axes.set_axisbelow(True)
    for axes in panels[:2]:
        axes.set_ylim(bottom=0)
        # Above the panel, where it covers no curve.
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=4,
            fontsize=8,
            frameon=False,
            borderaxespad=0.2,
        )
