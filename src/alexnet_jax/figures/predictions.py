"""Figure 4, left: images with the network's five most probable labels."""

from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.figures import drawing
from alexnet_jax.inference.trained_model import Model, top_classes

_TOP = 5
_PER_ROW = 4
_MAX_CHARS = 24  # of a label


class Labelled(NamedTuple):
    """An image and its predictions."""

    image: np.ndarray
    """uint8 `[size, size, 3]`."""
    title: str
    """Its class; its file name or key if the class is unknown."""
    labels: list[str]
    """The most probable ones, best first."""
    probabilities: list[float]
    right: int | None
    """Index of the true label in `labels`; None if it is not among them."""


def collect(
    model: Model, images: np.ndarray, label: np.ndarray, keys: list[str]
) -> list[Labelled]:
    """Predictions for the centre views.

    Args:
        images: uint8 `[n, size, size, 3]`, RGB 0-255.
        label: int32 `[n]`, an output of the network; -1 means unknown.
        keys: file names or keys, the titles of images without label.
    """
    predicted = model.predict(images)
    names = predicted.class_names
    labelled = []
    for image, true, key, row in zip(
        images, label, keys, predicted.probabilities, strict=True
    ):
        best = top_classes(row, _TOP).tolist()
        labelled.append(
            Labelled(
                image,
                names[true] if true >= 0 else key,
                [names[index] for index in best],
                [float(row[index]) for index in best],
                best.index(true) if true in best else None,
            )
        )
    return labelled


def draw(images: list[Labelled]) -> Any:
    """Draws each image above its bars; the bar of the true label is marked."""
    columns = min(_PER_ROW, len(images))
    rows = -(-len(images) // columns)
    figure = drawing.new_figure(2.1 * columns, 3.5 * rows)
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[2.1, 1.3] * rows)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        above = figure.add_subplot(grid[2 * row, column])
        drawing.show(above, image.image)
        above.set_title(_short(image.title), fontweight="bold")
        _bars(figure.add_subplot(grid[2 * row + 1, column]), image)
    return figure


def _bars(axes: Any, image: Labelled) -> None:
    for rank, (label, value) in enumerate(
        zip(image.labels, image.probabilities, strict=True)
    ):
        right = rank == image.right
        axes.barh(
            rank,
            value,
            height=0.86,
            color=drawing.ACCENT if right else drawing.LIGHT,
            edgecolor="black" if right else drawing.LIGHT,
            hatch="////" if right else None,
            linewidth=1.2 if right else 0,
        )
        text = axes.text(
            0.02,
            rank,
            _short(label),
            va="center",
            fontsize=8,
            fontweight="bold" if right else "normal",
        )
        text.set_bbox({"facecolor": "white", "alpha": 0.6, "pad": 0.8, "linewidth": 0})
        axes.text(1.3, rank, f"{value:.1%}", va="center", ha="right", fontsize=7)
    axes.set_xlim(0, 1.32)  # room for the numbers
    axes.set_ylim(len(image.labels) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_color(drawing.GREY)


def _short(label: str) -> str:
    return label if len(label) <= _MAX_CHARS else f"...{label[3 - _MAX_CHARS :]}"
