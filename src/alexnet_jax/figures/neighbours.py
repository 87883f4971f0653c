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
    same: list[bool | None]
    """True for an image of the query's class; None if one of the two is unknown."""
    distances: np.ndarray
    """Euclidean distances of the activations."""


def collect(
    model: Model,
    queries: np.ndarray,
    label: np.ndarray,
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
        label: int32 `[n]`, their classes in the training set; -1 means unknown.
        names: of the training images' classes.
        layer: "fc7", the last hidden layer, in the paper.
    """
    activations = model.features(queries, [layer])[layer]
    with contextlib.closing(_activations(model, training, layer, num_workers)) as parts:
        place, distance = nearest_neighbors.nearest(activations, parts, count)
    image, found = shown_images.read(training, place.ravel())
    image = image.reshape(*place.shape, *image.shape[1:])
    found = found.reshape(place.shape)
    return [
        Neighbours(
            query,
            title,
            image[i],
            [names[index] if index >= 0 else "unknown" for index in found[i]],
            [_same(label[i], index) for index in found[i]],
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


def _same(label: int, other: int) -> bool | None:
    return bool(label == other) if min(label, other) >= 0 else None


def draw(queries: list[Neighbours], layer: str, distance: str = "Euclidean") -> Any:
    """Draws one row per query, then its neighbours, with the distances below."""
    count = len(queries[0].images)
    side = min(1.3, drawing.WIDTH / (count + 1.2))
    figure = drawing.new_figure(
        max(side * (count + 1.2), 4.5), (side + 0.37) * len(queries) + 0.7
    )
    drawing.headline(figure, f"Nearest training images by {layer}, {distance} distance")
    grid = figure.add_gridspec(
        len(queries), count + 2, width_ratios=[1, 0.12, *[1] * count]
    )
    for row, query in enumerate(queries):
        axes = figure.add_subplot(grid[row, 0])
        drawing.show(axes, query.query)
        title = drawing.fitted(query.title, side - 0.1, weight="bold")
        axes.set_title(title, fontweight="bold", fontsize=drawing.SMALL)
        for rank in range(count):
            _neighbour(figure.add_subplot(grid[row, rank + 2]), query, rank, side)
    drawing.note(figure, _note(queries))
    return figure


def _neighbour(axes: Any, query: Neighbours, rank: int, side: float) -> None:
    same = query.same[rank]
    drawing.show(axes, query.images[rank])
    drawing.frame(axes, None if same else same)
    name = drawing.fitted(query.titles[rank], side - 0.25)
    mark = "" if same else drawing.MARKS[same]
    axes.set_title(mark + name, fontsize=drawing.SMALL)
    axes.text(
        0.5,
        -0.04,
        _number(query.distances[rank]),
        transform=axes.transAxes,
        ha="center",
        va="top",
        fontsize=drawing.SMALL,
    )


def _number(distance: float) -> str:
    """Three digits, also if the last is 0."""
    return f"{distance:#.3g}".rstrip(".") if distance < 1000 else f"{distance:.0f}"


def _note(queries: list[Neighbours]) -> str:
    text = "Left: the queries. Below each neighbour: its distance."
    if any(same is False for query in queries for same in query.same):
        text += f" Dashed, {drawing.MARKS[False].strip()}: of another class."
    return text


def describe(queries: list[Neighbours]) -> str:
    """The number of neighbours of each query's class, and the nearest's distance."""
    return "\n".join(map(_describe, queries))


def _describe(query: Neighbours) -> str:
    near = f"nearest at {query.distances[0]:.4g}"
    if None in query.same:
        return f"  {query.title:20}  {near}"
    same = f"{sum(map(bool, query.same))} of {len(query.same)} of its class"
    return f"  {query.title:20}  {same}, {near}"
