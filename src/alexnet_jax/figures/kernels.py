"""Figure 3: the kernels of conv1 by column, and how much of each is colour.

In 2012 the kernels of one column turned out grey and those of the other coloured, in
every run (paper, section 6.1). After grey images, colour means nothing: a kernel acts
as the sum over its channels, and is drawn as that.
"""

from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.figures import drawing
from alexnet_jax.weights.network import Network

_PER_ROW = 16  # as in the paper
_LARGEST = 0.8  # inches, of a kernel
_ENLARGED = 6  # drawn pixels per weight, so that gaps can be narrow


class Column(NamedTuple):
    """The kernels of one column."""

    images: np.ndarray
    """float `[kernels, height, width, 3]`, 0-1; a weight of 0 is 0.5, grey."""
    colour_share: float | None
    """Colour's share of the sum of all squared weights; see `colour_share`. None if the
    network was trained on grey images."""
    coloured: int
    """Number of kernels that are more than half colour; 0 for grey images."""


def collect(network: Network) -> list[Column]:
    """The columns of conv1."""
    kernel = np.asarray(network.params["conv1"]["kernel"], np.float64)
    grey = is_grey(np.asarray(network.mean_image))
    columns = np.split(kernel, network.config.model.num_columns, axis=-1)
    return [_grey(column) if grey else _coloured(column) for column in columns]


def is_grey(mean_image: np.ndarray) -> bool:
    """True if a mean image `[size, size, 3]` comes from grey images.

    Its channels are equal. A single value for all pixels comes from no images.
    """
    varies = bool(np.ptp(mean_image) > 0)
    return varies and bool(np.ptp(mean_image, axis=-1).max() < 1e-3)


def _coloured(kernel: np.ndarray) -> Column:
    coloured = int((colour_shares(kernel) > 0.5).sum())
    return Column(as_images(kernel), colour_share(kernel), coloured)


def _grey(kernel: np.ndarray) -> Column:
    total = kernel.sum(axis=2, keepdims=True)
    return Column(as_images(np.repeat(total, 3, axis=2)), None, 0)


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
    count, size = columns[0].images.shape[:2]
    per_row = _per_row(count)
    side = min(_LARGEST, (drawing.WIDTH - 0.3) / per_row)
    height = side * -(-count // per_row) + 0.3
    figure = drawing.new_figure(drawing.WIDTH, len(columns) * height + 0.7)
    drawing.headline(
        figure, f"conv1: {count * len(columns)} kernels of {size} x {size} pixels"
    )
    for i, column in enumerate(columns):
        axes = figure.add_subplot(len(columns), 1, i + 1)
        drawing.show(axes, sheet(column, per_row))
        axes.set_anchor("W")
        axes.set_title(_title(i, column), loc="left")
    drawing.note(figure, _note(columns))
    return figure


def _per_row(count: int) -> int:
    """As many as fit, if possible so that all rows are full."""
    full = [n for n in range(_PER_ROW // 2, _PER_ROW + 1) if count % n == 0]
    return max(full, default=min(_PER_ROW, count))


def sheet(column: Column, per_row: int) -> np.ndarray:
    """The kernels of a column in rows, one picture `[height, width, 3]`."""
    images = column.images.repeat(_ENLARGED, axis=1).repeat(_ENLARGED, axis=2)
    gap = max(2, images.shape[1] // 12)
    return drawing.tiles(images, per_row, gap=gap, fill=1.0)


def _title(place: int, column: Column) -> str:
    if column.colour_share is None:
        return f"column {place}"
    return (
        f"column {place}: {column.colour_share:.0%} colour; {column.coloured} of "
        f"{len(column.images)} kernels are mostly colour"
    )


def _note(columns: list[Column]) -> str:
    scale = "Each kernel has its own scale: mid-grey is 0, the ends are ± its maximum."
    if columns[0].colour_share is None:
        return (
            f"{scale}\nTrained on grey images, where a kernel acts as the sum of its "
            "three channels: this sum is drawn."
        )
    return (
        f"{scale}\nColour: the share of the squared weights that is in the differences "
        "between channels (67% for noise)."
    )


def describe(columns: list[Column]) -> str:
    """The numbers in the titles, with the value for noise."""
    if columns[0].colour_share is None:
        of = " and ".join(f"column {i}" for i in range(len(columns)))
        return f"conv1: trained on grey images; sums over the channels, {of}"
    lines = ["conv1: share of the squared weights that is colour (noise: 66.7%)"]
    lines += [
        f"  column {i}  {column.colour_share:6.1%}, and more than half in "
        f"{column.coloured} of {len(column.images)} kernels"
        for i, column in enumerate(columns)
    ]
    return "\n".join(lines)
