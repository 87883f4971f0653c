"""Figure 3: the kernels of conv1 by column, and how much of each is colour.

In 2012 the kernels of one column turned out grey and those of the other coloured, in
every run (paper, section 6.1).
"""

from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.figures import drawing
from alexnet_jax.weights.network import Network

_PER_ROW = 16  # as in the paper


class Column(NamedTuple):
    """The kernels of one column."""

    images: np.ndarray
    """float `[kernels, height, width, 3]`, 0-1; a weight of 0 is 0.5, grey."""
    colour_share: float
    """Colour's share of the sum of all squared weights; see `colour_share`."""
    coloured: int
    """Number of kernels that are more than half colour."""


def collect(network: Network) -> list[Column]:
    """The columns of conv1."""
    kernel = np.asarray(network.params["conv1"]["kernel"], np.float64)
    columns = np.split(kernel, network.config.model.num_columns, axis=-1)
    return [
        Column(
            as_images(column),
            colour_share(column),
            int((colour_shares(column) > 0.5).sum()),
        )
        for column in columns
    ]


def as_images(kernel: np.ndarray) -> np.ndarray:
    """0.5 + w / (2 max |w|), with the maximum over each kernel.

    Args:
        kernel: `[height, width, 3, kernels]`.

    Returns:
        `[kernels, height, width, 3]`, 0-1.
    """
    images = np.moveaxis(kernel, -1, 0)
    largest = np.abs(images).max(axis=(1, 2, 3), keepdims=True)
    return 0.5 + images / (2 * np.where(largest > 0, largest, 1))


def colour_share(kernel: np.ndarray) -> float:
    """The share of the squared weights that is colour, from 0 (grey) to 1.

    sum |w - g|^2 / sum |w|^2, where g is the mean of the three channels. Independent
    channels, such as noise, give 2/3.

    Args:
        kernel: `[height, width, 3, kernels]`.
    """
    colour, all = _squares(kernel)
    return float(colour.sum() / all.sum())


def colour_shares(kernel: np.ndarray) -> np.ndarray:
    """`colour_share` of each kernel: `[kernels]`."""
    colour, all = _squares(kernel)
    return colour / np.where(all > 0, all, 1)


def _squares(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grey = kernel.mean(axis=2, keepdims=True)
    return ((kernel - grey) ** 2).sum(axis=(0, 1, 2)), (kernel**2).sum(axis=(0, 1, 2))


def draw(columns: list[Column]) -> Any:
    """Draws one sheet of kernels per column, column 0 on top."""
    per_row = min(_PER_ROW, len(columns[0].images))
    rows = -(-len(columns[0].images) // per_row)
    width = 8.0
    height = len(columns) * (rows * width / per_row + 0.35)
    figure = drawing.new_figure(width, height)
    for i, column in enumerate(columns):
        axes = figure.add_subplot(len(columns), 1, i + 1)
        drawing.show(axes, drawing.tiles(column.images, per_row, gap=1, fill=1.0))
        axes.set_title(
            f"column {i}: colour is {column.colour_share:.0%} of the squared "
            f"weights, and more than half in {column.coloured} of "
            f"{len(column.images)} kernels",
            loc="left",
        )
    return figure


def describe(columns: list[Column]) -> str:
    """The numbers in the titles, with the value for noise."""
    lines = ["conv1: share of the squared weights that is colour (noise: 66.7%)"]
    lines += [
        f"  column {i}  {column.colour_share:6.1%}, and more than half in "
        f"{column.coloured} of {len(column.images)} kernels"
        for i, column in enumerate(columns)
    ]
    return "\n".join(lines)
