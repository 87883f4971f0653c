"""Feature maps: what each convolutional layer makes of an image, the columns apart."""

from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.config import CONV_LAYERS
from alexnet_jax.figures import drawing
from alexnet_jax.inference.trained_model import Model

_SHOWN = 8  # maps of a column


class Layer(NamedTuple):
    """The most active maps of a layer."""

    name: str
    maps: list[np.ndarray]
    """Of each column, float32 `[count, height, width]`, the most active first."""
    places: list[np.ndarray]
    """Which maps of the layer these are."""
    size: int
    """Maps of the whole layer."""


def collect(model: Model, image: np.ndarray) -> list[Layer]:
    """The maps after the activation of every layer, of the centre view.

    Args:
        image: uint8 `[size, size, 3]`, RGB 0-255.
    """
    net = model.network.config.model
    names = [name for name in CONV_LAYERS if name not in net.without]
    found = model.features([image], names)
    return [_most_active(name, found[name][0], net.num_columns) for name in names]


def _most_active(name: str, activation: np.ndarray, num_columns: int) -> Layer:
    maps = np.moveaxis(activation, -1, 0)
    strength = maps.mean(axis=(1, 2)).reshape(num_columns, -1)
    best = np.argsort(-strength, axis=1, kind="stable")[:, :_SHOWN]
    places = best + np.arange(num_columns)[:, None] * strength.shape[1]
    return Layer(name, [maps[row] for row in places], list(places), len(maps))


def draw(image: np.ndarray, title: str, layers: list[Layer]) -> Any:
    """The image, and a row of maps for each layer, each column by itself.

    Brightness is of one scale within a layer.
    """
    columns = len(layers[0].maps)
    shown = max(len(one) for layer in layers for one in layer.maps)
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
            highest = max(float(one.max()) for one in layer.maps)
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
