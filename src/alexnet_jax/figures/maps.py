"""Feature maps: the most active ones of each convolutional layer, by column."""

from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.config import CONV_LAYERS
from alexnet_jax.figures import drawing
from alexnet_jax.inference.trained_model import Model

_SHOWN = 8  # maps per column


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
    best = np.argsort(-strength, axis=1, kind="stable")[:, :_SHOWN]
    places = best + np.arange(num_columns)[:, None] * strength.shape[1]
    return Layer(name, [maps[row] for row in places], list(places), len(maps))


def draw(image: np.ndarray, title: str, layers: list[Layer]) -> Any:
    """Draws the image, and one row of maps per layer in a block per column.

    All maps of a layer share one scale of brightness.
    """
    columns = len(layers[0].maps)
    shown = max(len(maps) for layer in layers for maps in layer.maps)
    figure = drawing.new_figure(1.6 + 0.62 * shown * columns, 0.95 * len(layers) + 0.3)
    picture, *blocks = figure.subfigures(
        1, columns + 1, width_ratios=[1.6, *[0.62 * shown] * columns]
    )
    axes = picture.add_subplot()
    drawing.show(axes, image)
    axes.set_title(title, fontweight="bold")
    for column, block in enumerate(blocks):
        for row, layer in enumerate(layers):
            axes = block.add_subplot(len(layers), 1, row + 1)
            maps = layer.maps[column]
            highest = max(float(each.max()) for each in layer.maps)
            gap = max(1, maps.shape[1] // 12)
            sheet = drawing.tiles(maps, shown, gap=gap, fill=np.nan)
            drawing.show(axes, sheet, cmap="viridis", vmin=0, vmax=highest or 1.0)
            axes.set_title(_title(layer, column, columns), loc="left", fontsize=8)
    return figure


def _title(layer: Layer, column: int, columns: int) -> str:
    height, width = layer.maps[0].shape[1:]
    where = f", column {column}" if columns > 1 else ""
    return (
        f"{layer.name}{where}: {len(layer.maps[column])} most active of "
        f"{layer.size // columns} maps, {height} x {width}"
    )
