"""Figure 4, left: images with the five labels that the network finds most probable."""

from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.figures import drawing
from alexnet_jax.inference.trained_model import Model, top_classes

_BEST = 5
_IN_A_ROW = 4
_LONGEST = 24  # letters of a label


class Labelled(NamedTuple):
    """An image and what is said of it."""

    image: np.ndarray
    """uint8 `[size, size, 3]`."""
    title: str
    """Its class, or, where that is not known, its name."""
    labels: list[str]
    """Best first."""
    probabilities: list[float]
    right: int | None
    """The place of the true label among these, if it is there."""


def collect(
    model: Model, images: np.ndarray, label: np.ndarray, keys: list[str]
) -> list[Labelled]:
    """Predictions of the centre views.

    Args:
        images: uint8 `[n, size, size, 3]`, RGB 0-255.
        label: int32 `[n]`, an output of the network, or -1: not known.
    """
    predicted = model.predict(images)
    names = predicted.class_names
    found = []
    for image, one, key, row in zip(
        images, label, keys, predicted.probabilities, strict=True
    ):
        best = top_classes(row, _BEST).tolist()
        found.append(
            Labelled(
                image,
                names[one] if one >= 0 else key,
                [names[place] for place in best],
                [float(row[place]) for place in best],
                best.index(one) if one in best else None,
            )
        )
    return found


def draw(found: list[Labelled]) -> Any:
    """Each image above its bars; the bar of the true label is marked."""
    columns = min(_IN_A_ROW, len(found))
    rows = -(-len(found) // columns)
    figure = drawing.new_figure(2.1 * columns, 3.5 * rows)
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[2.1, 1.3] * rows)
    for place, one in enumerate(found):
        row, column = divmod(place, columns)
        above = figure.add_subplot(grid[2 * row, column])
        drawing.show(above, one.image)
        above.set_title(_short(one.title), fontweight="bold")
        _bars(figure.add_subplot(grid[2 * row + 1, column]), one)
    return figure


def _bars(axes: Any, one: Labelled) -> None:
    for place, (label, value) in enumerate(
        zip(one.labels, one.probabilities, strict=True)
    ):
        right = place == one.right
        axes.barh(
            place,
            value,
            height=0.86,
            color=drawing.ACCENT if right else drawing.LIGHT,
            edgecolor="black" if right else drawing.LIGHT,
            hatch="////" if right else None,
            linewidth=1.2 if right else 0,
        )
        text = axes.text(
            0.02,
            place,
            _short(label),
            va="center",
            fontsize=8,
            fontweight="bold" if right else "normal",
        )
        text.set_bbox({"facecolor": "white", "alpha": 0.6, "pad": 0.8, "linewidth": 0})
        axes.text(1.3, place, f"{value:.1%}", va="center", ha="right", fontsize=7)
    axes.set_xlim(0, 1.32)  # room for the numbers
    axes.set_ylim(len(one.labels) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_color(drawing.GREY)


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST else f"...{label[3 - _LONGEST :]}"
