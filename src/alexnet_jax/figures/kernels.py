"""Figure 3: the kernels of conv1, the columns apart, and how much of each is colour.

In 2012 the kernels of one column came out grey and those of the other coloured, in
every run (paper, section 6.1).
"""

from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.figures import drawing
from alexnet_jax.weights.network import Network

_IN_A_ROW = 16  # as in the paper


class Column(NamedTuple):
    """The kernels of one column, to be looked at."""

    images: np.ndarray
    """float `[kernels, height, width, 3]`, 0-1; no weight is the grey of 0.5."""
    colour_share: float
    """Of the squares of all weights; see `colour_share`."""
    coloured: int
    """Kernels of which more than half is colour."""


def collect(network: Network) -> list[Column]:
    """The columns of conv1."""
    kernel = np.asarray(network.params["conv1"]["kernel"], np.float64)
    columns = np.split(kernel, network.config.model.num_columns, axis=-1)
    return [
        Column(as_images(one), colour_share(one), int((colour_shares(one) > 0.5).sum()))
        for one in columns
    ]


def as_images(kernel: np.ndarray) -> np.ndarray:
    """0.5 + w / (2 max |w|), the maximum of each kernel by itself.

    Args:
        kernel: `[height, width, 3, kernels]`.

    Returns:
        `[kernels, height, width, 3]`, 0-1.
    """
    images = np.moveaxis(kernel, -1, 0)
    largest = np.abs(images).max(axis=(1, 2, 3), keepdims=True)
    return 0.5 + images / (2 * np.where(largest > 0, largest, 1))


def colour_share(kernel: np.ndarray) -> float:
    """The share of the squares of all weights that is colour: 0, grey, to 1.

    sum |w - g|^2 / sum |w|^2, where g is the mean of the three channels. Independent
    channels, noise for example, give 2/3.

    Args:
        kernel: `[height, width, 3, kernels]`.
    """
    colour, all = _squares(kernel)
    return float(colour.sum() / all.sum())


def colour_shares(kernel: np.ndarray) -> np.ndarray:
    """The same of each kernel by itself: `[kernels]`."""
    colour, all = _squares(kernel)
    return colour / np.where(all > 0, all, 1)


def _squares(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grey = kernel.mean(axis=2, keepdims=True)
    return ((kernel - grey) ** 2).sum(axis=(0, 1, 2)), (kernel**2).sum(axis=(0, 1, 2))


def draw(columns: list[Column]) -> Any:
    """One sheet of kernels for each column, the first above."""
    in_a_row = min(_IN_A_ROW, len(columns[0].images))
    rows = -(-len(columns[0].images) // in_a_row)
    width = 8.0
    height = len(columns) * (rows * width / in_a_row + 0.35)
    figure = drawing.new_figure(width, height)
    for place, column in enumerate(columns):
        axes = figure.add_subplot(len(columns), 1, place + 1)
        drawing.show(axes, drawing.tiles(column.images, in_a_row, gap=1, fill=1.0))
        axes.set_title(
            f"column {place}: colour is {column.colour_share:.0%} of the squared "
            f"weights, and more than half in {column.coloured} of "
            f"{len(column.images)} kernels",
            loc="left",
        )
    return figure


def describe(columns: list[Column]) -> str:
    """The figures of the titles, and what they are beside."""
    lines = ["conv1: share of the squared weights that is colour (noise: 66.7%)"]
    lines += [
        f"  column {place}  {column.colour_share:6.1%}, and more than half in "
        f"{column.coloured} of {len(column.images)} kernels"
        for place, column in enumerate(columns)
    ]
    return "\n".join(lines)
