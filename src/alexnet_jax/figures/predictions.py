"""Figure 4, left: images with the network's five most probable labels."""

from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.figures import drawing
from alexnet_jax.inference.predictions import top_classes
from alexnet_jax.inference.trained_model import Model

_TOP = 5
_PER_ROW = 4
_SIDE = drawing.WIDTH / _PER_ROW  # inches, of an image with its margins
_RIGHT: Any = {"facecolor": drawing.ACCENT, "edgecolor": "black", "linewidth": 0.8}
_OTHER: Any = {"facecolor": drawing.LIGHT, "linewidth": 0}


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
    """Index of the true label in `labels`; None if it is not among them or unknown."""
    correct: bool | None
    """True if the most probable label is the true one; None if that is unknown."""


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
                bool(best[0] == true) if true >= 0 else None,
            )
        )
    return labelled


def draw(images: list[Labelled]) -> Any:
    """Draws each image above its bars; the bar of the true label is marked."""
    columns = min(_PER_ROW, max(2, len(images)))  # two, so that the texts fit
    rows = -(-len(images) // columns)
    figure = drawing.new_figure(_SIDE * columns, 3.05 * rows + 0.7)
    drawing.headline(figure, "The five most probable labels; above, the true one")
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[1.9, 1.05] * rows)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        above = figure.add_subplot(grid[2 * row, column])
        drawing.show(above, image.image)
        drawing.frame(above, image.correct)
        above.set_title(_title(image), fontweight="bold")
        _bars(figure.add_subplot(grid[2 * row + 1, column]), image)
    if any(image.correct is not None for image in images):
        _explain(figure, columns)
    return figure


def _title(image: Labelled) -> str:
    name = drawing.fitted(image.title, _SIDE - 0.4, 9, "bold")
    return drawing.MARKS[image.correct] + name


def _bars(axes: Any, image: Labelled) -> None:
    """Bars on 0-1, the whole width; each has its label and its probability on it."""
    for rank, (label, value) in enumerate(
        zip(image.labels, image.probabilities, strict=True)
    ):
        right = rank == image.right
        axes.barh(rank, value, height=0.86, **(_RIGHT if right else _OTHER))
        style = {
            "va": "center",
            "fontsize": drawing.SMALL,
            "fontweight": "bold" if right else "normal",
        }
        short = drawing.fitted(label, _SIDE - 0.72, weight=style["fontweight"])
        axes.text(0.02, rank, short, **style)
        axes.text(0.98, rank, f"{value:.1%}", ha="right", **style)
    axes.set_xlim(0, 1)
    axes.set_ylim(_TOP - 0.5, -0.5)
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set(visible=True, color=drawing.GREY, linewidth=0.6)


def _explain(figure: Any, columns: int) -> None:
    swatches = [
        drawing.swatch("true label", **_RIGHT),
        drawing.swatch("other labels", **_OTHER),
        *drawing.legend_of_frames(),
    ]
    ncols = 4 if columns > 2 else 2
    figure.legend(handles=swatches, loc="outside lower left", ncols=ncols)
