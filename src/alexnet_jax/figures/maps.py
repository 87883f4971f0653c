"""Feature maps: the most active ones of each convolutional layer, by column."""

from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.config import CONV_LAYERS
from alexnet_jax.figures import drawing
from alexnet_jax.inference.trained_model import Model

_SHOWN = 12  # maps of all columns


class Layer(NamedTuple):
    """The most active maps of a layer."""

    name: str
    maps: list[np.ndarray]
    """One per column, float32 `[count, height, width]`, most active first."""
    places: list[np.ndarray]
    """Their indices among the maps of the layer."""
    size: int
    """Number of maps in the layer."""


def collect(model: Model, image: np.ndarray) -> list[Layer]:
    """The maps of every layer after its activation, for the centre view.

    Args:
        image: uint8 `[size, size, 3]`, RGB 0-255.
    """
    config = model.network.config.model
    names = [name for name in CONV_LAYERS if name not in config.without]
    features = model.features([image], names)
    return [_most_active(name, features[name][0], config.num_columns) for name in names]


def _most_active(name: str, activation: np.ndarray, num_columns: int) -> Layer:
    maps = np.moveaxis(activation, -1, 0)
    strength = maps.mean(axis=(1, 2)).reshape(num_columns, -1)
    shown = max(1, _SHOWN // num_columns)
    best = np.argsort(-strength, axis=1, kind="stable")[:, :shown]
    places = best + np.arange(num_columns)[:, None] * strength.shape[1]
    return Layer(name, [maps[row] for row in places], list(places), len(maps))


def draw(image: np.ndarray, title: str, layers: list[Layer]) -> Any:
    """Draws the image, and one row of maps per layer, the columns beside each other.

    All maps of a layer share one scale of brightness, shown at its right.
    """
    columns = len(layers[0].maps)
    figure = drawing.new_figure(drawing.WIDTH, 1.45 + 0.78 * len(layers) + 0.35)
    top, below = figure.subfigures(2, 1, height_ratios=[1.45, 0.78 * len(layers)])
    _draw_image(top, image, title)
    grid = below.add_gridspec(
        len(layers), columns + 2, width_ratios=[1.1, *[6.0 / columns] * columns, 0.1]
    )
    for row, layer in enumerate(layers):
        _describe(below.add_subplot(grid[row, 0]), layer)
        panels = [below.add_subplot(grid[row, 1 + i]) for i in range(columns)]
        _draw_maps(panels, below.add_subplot(grid[row, columns + 1]), layer)
        if row == 0 and columns > 1:
            for i, axes in enumerate(panels):
                axes.set_title(f"column {i}", fontweight="bold")
    return figure


def _draw_image(figure: Any, image: np.ndarray, title: str) -> None:
    grid = figure.add_gridspec(1, 2, width_ratios=[1.1, 6.1])
    drawing.show(figure.add_subplot(grid[0]), image)
    text = figure.add_subplot(grid[1])
    text.set_axis_off()
    name = drawing.fitted(title, 4.5, 10, "bold")
    text.text(0, 0.95, f"Feature maps of: {name}", va="top", weight="bold", fontsize=10)
    text.text(
        0,
        0.74,
        "Activations of each convolutional layer for the centre of this image.\n"
        "The maps with the largest means in each column, largest first.\n"
        "Each layer has its own scale, at the right.",
        va="top",
        linespacing=1.4,
    )


def _describe(axes: Any, layer: Layer) -> None:
    height, width = layer.maps[0].shape[1:]
    axes.set_axis_off()
    axes.text(0, 0.72, layer.name, va="center", weight="bold", fontsize=9)
    size = f"{len(layer.maps[0])} of {layer.size // len(layer.maps)} maps"
    axes.text(
        0,
        0.32,
        f"{size}\n{height} x {width} pixels",
        va="center",
        fontsize=drawing.SMALL,
    )


def _draw_maps(panels: list[Any], scale: Any, layer: Layer) -> None:
    lowest = min(0.0, *(float(maps.min()) for maps in layer.maps))  # tanh
    highest = max(float(maps.max()) for maps in layer.maps)
    for axes, maps in zip(panels, layer.maps, strict=True):
        gap = max(1, maps.shape[1] // 12)
        sheet = drawing.tiles(maps, len(maps), gap=gap, fill=np.nan)
        drawing.show(axes, sheet, cmap="viridis", vmin=lowest, vmax=highest or 1.0)
    bar = panels[0].figure.colorbar(panels[0].images[0], cax=scale)
    bar.set_ticks([lowest, highest] if highest > lowest else [0.0])
    bar.ax.set_yticklabels([f"{tick:.3g}" for tick in bar.get_ticks()])
    bar.ax.tick_params(labelsize=drawing.SMALL, length=2)
    bar.outline.set_visible(False)
