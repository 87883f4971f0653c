"""Figure 4, right: images and the training images whose activations are nearest."""

import contextlib
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.data.source import Source
from alexnet_jax.figures import drawing
from alexnet_jax.inference import activations, nearest_neighbors
from alexnet_jax.inference.trained_model import Model
from alexnet_jax.system.progress import ImageCounter


class Neighbours(NamedTuple):
    """A query and the training images that are nearest, nearest first."""

    query: np.ndarray
    """uint8 `[size, size, 3]`."""
    title: str
    images: np.ndarray
    """uint8 `[count, size, size, 3]`."""
    titles: list[str]
    distances: np.ndarray
    """Euclidean, of the activations."""


def collect(
    model: Model,
    queries: np.ndarray,
    titles: list[str],
    training: Source,
    names: list[str],
    *,
    layer: str,
    count: int,
    num_workers: int | None,
) -> list[Neighbours]:
    """One pass over the training images; memory does not grow with their number.

    Args:
        queries: uint8 `[n, size, size, 3]`, RGB 0-255.
        names: of the classes of the training images.
        layer: "fc7" in the paper: the last hidden layer.
    """
    activations = model.features(queries, [layer])[layer]
    with contextlib.closing(_activations(model, training, layer, num_workers)) as parts:
        place, distance = nearest_neighbors.nearest(activations, parts, count)
    size = training.image_size
    image = np.zeros((place.size, size, size, 3), np.uint8)
    label = np.zeros(place.size, np.int32)
    training.read(place.ravel(), image, label)
    image = image.reshape(*place.shape, size, size, 3)
    label = label.reshape(place.shape)
    return [
        Neighbours(
            query,
            title,
            image[i],
            [names[one] if one >= 0 else "unknown" for one in label[i]],
            distance[i],
        )
        for i, (query, title) in enumerate(zip(queries, titles, strict=True))
    ]


def _activations(
    model: Model, training: Source, layer: str, num_workers: int | None
) -> Generator[np.ndarray, None, None]:
    stage = activations.find(layer, model.layers())
    counter = ImageCounter(f"nearest by {layer}", training.num_examples)
    parts = model.each_batch(
        activations.activations, training, num_workers=num_workers, chosen=(stage,)
    )
    with contextlib.closing(parts), contextlib.closing(counter):
        for part in parts:
            counter.add(len(part.label))
            yield part.found[stage]


def draw(found: list[Neighbours], layer: str) -> Any:
    """A row each: the query, then its neighbours; another class is in brackets."""
    count = len(found[0].images)
    figure = drawing.new_figure(1.15 * (count + 1) + 0.3, 1.4 * len(found) + 0.5)
    grid = figure.add_gridspec(
        len(found), count + 2, width_ratios=[1, 0.15, *[1] * count]
    )
    for row, one in enumerate(found):
        axes = figure.add_subplot(grid[row, 0])
        drawing.show(axes, one.query)
        axes.set_title(one.title, fontweight="bold", fontsize=8)
        for place, (image, title) in enumerate(
            zip(one.images, one.titles, strict=True)
        ):
            axes = figure.add_subplot(grid[row, place + 2])
            drawing.show(axes, image)
            axes.set_title(title if title == one.title else f"[{title}]", fontsize=8)
    figure.suptitle(
        f"test images (left) and the training images nearest by {layer}; "
        "[ ]: another class",
        fontsize=9,
    )
    return figure


def describe(found: list[Neighbours]) -> str:
    """How many neighbours are of the query's class, and how far the nearest is."""
    lines = []
    for one in found:
        same = sum(title == one.title for title in one.titles)
        lines.append(
            f"  {one.title:20}  {same} of {len(one.titles)} of its class, nearest at "
            f"{one.distances[0]:.4g}"
        )
    return "\n".join(lines)
