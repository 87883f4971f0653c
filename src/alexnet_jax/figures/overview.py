"""One picture of a run: the network, conv1's kernels, the error, some predictions."""

from typing import Any

import jax

from alexnet_jax.figures import curves, drawing, kernels, network
from alexnet_jax.figures.curves import Curves
from alexnet_jax.figures.predictions import Labelled
from alexnet_jax.weights.network import Network

_PER_ROW = 3  # predictions
_SHEETS = 4  # columns whose kernels are drawn
_FONT = 7.5
_LINES = ("top-1, training", "top-1, test", "top-5, test")  # in the legend


def choose(images: list[Labelled], count: int) -> list[Labelled]:
    """As many right predictions as wrong ones, right ones first; if there are not
    enough of one kind, more of the other."""
    right = [image for image in images if image.correct is not False]
    wrong = [image for image in images if image.correct is False]
    num_wrong = max(min(count // 2, len(wrong)), count - len(right))
    return right[: count - num_wrong] + wrong[:num_wrong]


def draw(trained: Network, found: Curves, images: list[Labelled]) -> Any:
    """Draws the network above its kernels, its error and the predictions."""
    rows = min(trained.config.model.num_columns, network.ROWS)
    above = 0.55 + 0.8 * max(rows, 1.3)
    rows_of_images = max(2, -(-len(images) // _PER_ROW))
    figure = drawing.new_figure(drawing.WIDTH, above + 0.87 * rows_of_images)
    top, below = figure.subfigures(2, 1, height_ratios=[above, 0.87 * rows_of_images])
    _draw_network(top, trained)
    left, middle, *right = below.subfigures(
        1, 3 if images else 2, width_ratios=[1.05, 1.15, 1.05] if images else [1, 1.5]
    )
    _draw_kernels(left, kernels.collect(trained))
    _draw_error(middle, found)
    if images:
        _draw_predictions(right[0], images)
    return figure


def _draw_network(figure: Any, trained: Network) -> None:
    config = trained.config
    count = sum(array.size for array in jax.tree.leaves(trained.params))
    columns = config.model.num_columns
    parts = f"{columns} columns" if columns > 1 else "1 column"
    drawing.headline(
        figure, f"AlexNet on {config.data.name}: {parts}, {count:,} parameters"
    )
    axes = figure.add_subplot()
    network.draw(axes, network.collect(config), columns)
    note = (
        "Below a box: height \N{MULTIPLICATION SIGN} width \N{MULTIPLICATION SIGN} maps"
    )
    exchange = "Black lines: a layer sees the maps of both columns. "
    drawing.note(figure, f"{exchange if columns > 1 else ''}{note}, or units.")


def _draw_kernels(figure: Any, columns: list[kernels.Column]) -> None:
    shown = columns[:_SHEETS]
    by_column = ", by column" if len(shown) > 1 else ""
    _heading(figure, f"conv1's kernels{by_column}")
    for i, column in enumerate(shown):
        axes = figure.add_subplot(len(shown), 1, i + 1)
        per_row = _per_row(len(column.images), len(shown))
        drawing.show(axes, kernels.sheet(column, per_row))
        style = {"color": network.text_color(i), "weight": "bold", "fontsize": 8}
        if len(shown) > 1:
            place = axes.transAxes
            text = axes.text(-0.03, 0.5, f"column {i}", transform=place, **style)
            text.set(rotation=90, ha="right", va="center")


def _per_row(count: int, num_columns: int) -> int:
    """The fewest that fill whole rows and make the sheets wide enough."""
    return next(
        number
        for number in range(1, count + 1)
        if count % number == 0 and number**2 >= num_columns * count or number == count
    )


def _draw_error(figure: Any, found: Curves) -> None:
    axes = figure.add_subplot()
    curves.draw_error(axes, found)
    axes.tick_params(labelsize=_FONT)
    axes.set_xlabel("epoch", fontsize=_FONT)
    axes.set_ylabel("%", fontsize=_FONT)
    last = f": {100 * found.test['top1_error'][-1]:.2f} % at the end"
    _heading(figure, f"top-1 error{last if found.test['epoch'] else ''}")
    lines, labels = axes.get_legend_handles_labels()
    places = [i for i, label in enumerate(labels) if label in _LINES]
    axes.legend(
        [lines[i] for i in places],
        [labels[i].removeprefix("top-1, ") for i in places],
        fontsize=_FONT,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.98),  # above the panel, where it covers no curve
        ncols=len(places),
        handlelength=1.5,
        columnspacing=1.2,
        borderaxespad=0.1,
    )


def _draw_predictions(figure: Any, images: list[Labelled]) -> None:
    _heading(figure, _what(images))
    rows = -(-len(images) // _PER_ROW)
    for i, image in enumerate(images):
        axes = figure.add_subplot(rows, _PER_ROW, i + 1)
        drawing.show(axes, image.image)
        drawing.frame(axes, image.correct)
        mark = drawing.MARKS[image.correct]
        text = mark + drawing.fitted(image.labels[0], 0.72, _FONT)
        if image.correct is False:
            text += f"\nis {drawing.fitted(image.title, 0.72, _FONT)}"
        axes.set_xlabel(text, fontsize=_FONT, labelpad=2)


def _what(images: list[Labelled]) -> str:
    right, wrong = (
        sum(image.correct is value for image in images) for value in (True, False)
    )
    some = f"{right} right and {wrong} wrong " if right + wrong else ""
    return f"{some}predictions"


def _heading(figure: Any, text: str) -> None:
    figure.suptitle(text, fontsize=8.5, fontweight="bold")
