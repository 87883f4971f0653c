"""The images of a figure, with their labels and titles."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet_jax.data import class_names, user_images
from alexnet_jax.data.source import Source
from alexnet_jax.inference.trained_model import Model


class Shown(NamedTuple):
    """Images scaled and cropped to the network's `image_size`."""

    images: np.ndarray
    """uint8 `[n, size, size, 3]`, RGB 0-255."""
    label: np.ndarray
    """int32 `[n]`, an output of the network; -1 means unknown."""
    titles: list[str]
    """Their classes; file names where the class is unknown."""


def first(model: Model, source: Source, count: int | None) -> Shown:
    """The first `count` images; None means all."""
    number = source.num_examples
    return _shown(model, source, np.arange(min(number, count or number)))


def by_chance(model: Model, source: Source, count: int, seed: int) -> Shown:
    """`count` random images, the same ones for the same seed."""
    order = np.random.default_rng(seed).permutation(source.num_examples)
    return _shown(model, source, order[:count])


def read(source: Source, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The examples at `[n]` indices: uint8 `[n, size, size, 3]`, and int32 labels."""
    size = source.image_size
    image = np.zeros((len(indices), size, size, 3), np.uint8)
    label = np.full(len(indices), -1, np.int32)
    source.read(indices, image, label)
    return image, label


def _shown(model: Model, source: Source, indices: np.ndarray) -> Shown:
    image, label = read(source, indices)
    user_images.refuse_problems(source)
    learned = model.network.class_names
    if source.class_names and learned:
        outputs = class_names.outputs_of(source.class_names, learned)
        label = np.where(label >= 0, outputs[label], -1)
    names = class_names.readable(learned, model.network.config.model.num_classes)
    titles = [
        names[output] if output >= 0 else Path(source.key(int(index))).name
        for output, index in zip(label, indices, strict=True)
    ]
    return Shown(image, label, titles)
