"""Part 8: kernels, errors, predictions and nearest images of the network."""

import dataclasses
from typing import Any

import numpy as np

from alexnet_jax.data import class_names
from alexnet_jax.explanation import packing, structure
from alexnet_jax.explanation.subject import Subject
from alexnet_jax.figures import kernels as figure3
from alexnet_jax.figures import neighbours, overview, predictions
from alexnet_jax.figures.predictions import Labelled

_PREDICTIONS = 12  # as many right as wrong, if there are
_QUERIES = 5
_NEIGHBOURS = 6
_SIDE = 48  # pixels of an image in the page, at most
_WORK = 5e10  # multiplications to spend on training images, seconds on two cores
_MATRIX = 20  # classes, at most, of a table of mistakes


def collect(subject: Subject) -> dict[str, Any]:
    """Kernels by column; of the evaluation split right and wrong predictions and the
    table of mistakes; nearest training images. None where the dataset is missing."""
    shown = subject.candidates
    found: list[Labelled] = []
    if shown is not None:
        found = predictions.collect(
            subject.model, shown.images, shown.label, shown.titles
        )
    return {
        "kernels": _kernels(subject),
        "predictions": [
            _prediction(one) for one in overview.choose(found, _PREDICTIONS)
        ],
        "mistakes": _mistakes(found),
        "neighbours": _neighbours(subject),
    }


def is_grey(subject: Subject) -> bool:
    """True if the network was trained on grey images."""
    return figure3.is_grey(np.asarray(subject.model.network.mean_image))


def _kernels(subject: Subject) -> list[dict[str, Any]]:
    return [
        {
            "count": len(column.images),
            "side": column.images.shape[1],
            "pixels": packing.levels(column.images, 0, 1),
            "colour": column.colour_share,
            "coloured": column.coloured,
        }
        for column in figure3.collect(subject.model.network)
    ]


def _picture(image: np.ndarray) -> dict[str, Any]:
    small = packing.shrunk(image[None], _SIDE)[0]
    return {"side": len(small), "pixels": packing.pixels(small)}


def _prediction(one: Labelled) -> dict[str, Any]:
    return {
        **_picture(one.image),
        "title": one.title,
        "labels": one.labels,
        "probabilities": packing.rounded(one.probabilities),
        "right": one.right,
        "correct": one.correct,
    }


def _mistakes(found: list[Labelled]) -> dict[str, Any] | None:
    """How many images of each class (row) got each answer (column)."""
    known = [one for one in found if one.correct is not None]
    names = sorted({one.title for one in known} | {one.labels[0] for one in known})
    if not known or len(names) > _MATRIX:
        return None
    place = {name: index for index, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), int)
    for one in known:
        counts[place[one.title], place[one.labels[0]]] += 1
    return {"names": names, "counts": counts.tolist(), "images": len(known)}


def _neighbours(subject: Subject) -> dict[str, Any] | None:
    if subject.training is None:
        return None
    number = min(subject.training.num_examples, _affordable(subject))
    training = dataclasses.replace(subject.training, num_examples=number)
    layer = "fc6" if "fc7" in subject.config.model.without else "fc7"
    names = class_names.readable(training.class_names, subject.config.model.num_classes)
    found = neighbours.collect(
        subject.model,
        subject.shown.images[:_QUERIES],
        subject.shown.label[:_QUERIES],
        subject.shown.titles[:_QUERIES],
        training,
        names,
        layer=layer,
        count=min(_NEIGHBOURS, number),
        num_workers=subject.num_workers,
    )
    return {
        "layer": layer,
        "among": number,
        "of": subject.training.num_examples,
        "queries": [_query(one) for one in found],
    }


def _affordable(subject: Subject) -> int:
    """The number of images that cost `_WORK` multiplications."""
    products = sum(one.get("products", 0) for one in structure.collect(subject))
    return max(_NEIGHBOURS, int(_WORK / products))


def _query(one: neighbours.Neighbours) -> dict[str, Any]:
    return {
        **_picture(one.query),
        "title": one.title,
        "nearest": [
            {**_picture(image), "title": title, "same": same, "distance": distance}
            for image, title, same, distance in zip(
                one.images,
                one.titles,
                one.same,
                packing.rounded(one.distances, 3),
                strict=True,
            )
        ],
    }
