"""Figure 4, right: test images and the training images with the nearest activations."""

import contextlib
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np

from alexnet_jax.data.source import Source
from alexnet_jax.figures import drawing, shown_images
from alexnet_jax.inference import activations, nearest_neighbors
from alexnet_jax.inference.trained_model import Model
from alexnet_jax.system.progress import ImageCounter


class Neighbours(NamedTuple):
    """A query and its nearest training images, nearest first."""

    query: np.ndarray
    """uint8 `[size, size, 3]`."""
    title: str
    images: np.ndarray
    """uint8 `[count, size, size, 3]`."""
    titles: list[str]
    distances: np.ndarray
    """Euclidean distances of the activations."""


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
    """Finds neighbours in one pass over the training images; memory does not grow with
    their number.

    Args:
        queries: uint8 `[n, size, size, 3]`, RGB 0-255.
        names: of the training images' classes.
        layer: "fc7", the last hidden layer, in the paper.
    """
    activations = model.features(queries, [layer])[layer]
    with contextlib.closing(_activations(model, training, layer, num_workers)) as parts:
        place, distance = nearest_neighbors.nearest(activations, parts, count)
    image, label = shown_images.read(training, place.ravel())
    image = image.reshape(*place.shape, *image.shape[1:])
    label = label.reshape(place.shape)
    return [
        Neighbours(
            query,
            title,
            image[i],
            [names[index] if index >= 0 else "unknown" for index in label[i]],
            distance[i],
        )
        for i, (query, title) in enumerate(zip(queries, titles, strict=True))
    ]


def _activations(
    model: Model, training: Source, layer: str, num_workers: int | None
) -> Generator[np.ndarray, None, None]:
    stage = model.stages(layer)[layer]
    counter = ImageCounter(f"nearest by {layer}", training.num_examples)
    parts = model.each_batch(
        activations.activations, training, num_workers=num_workers, stages=(stage,)
    )
    with contextlib.closing(parts), contextlib.closing(counter):
        for part in parts:
            counter.add(len(part.label))
            yield part.output[stage]


def draw(queries: list[Neighbours], layer: str) -> Any:
    """Draws one row per query, then its neighbours; another class is in brackets."""
    count = len(queries[0].images)
    figure = drawing.new_figure(1.15 * (count + 1) + 0.3, 1.4 * len(queries) + 0.5)
    grid = figure.add_gridspec(
        len(queries), count + 2, width_ratios=[1, 0.15, *[1] * count]
    )
    for row, query in enumerate(queries):
        axes = figure.add_subplot(grid[row, 0])
        drawing.show(axes, query.query)
        axes.set_title(query.title, fontweight="bold", fontsize=8)
        for rank, (image, title) in enumerate(
            zip(query.images, query.titles, strict=True)
        ):
            axes = figure.add_subplot(grid[row, rank + 2])
            drawing.show(axes, image)
            axes.set_title(title if title == query.title else f"[{title}]", fontsize=8)
    figure.suptitle(
        f"test images (left) and the training images nearest by {layer}; "
        "[ ]: another class",
        fontsize=9,
    )
    return figure


def describe(queries: list[Neighbours]) -> str:
    """The number of neighbours of each query's class, and the nearest's distance."""
    lines = []
    for query in queries:
        same = sum(title == query.title for title in query.titles)
        lines.append(
            f"  {query.title:20}  {same} of {len(query.titles)} of its class, nearest "
            f"at {query.distances[0]:.4g}"
        )
    return "\n".join(lines)
