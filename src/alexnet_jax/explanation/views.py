"""Part 6: ten views with the prediction of each, and the colours of the dataset."""

from typing import Any

import numpy as np

from alexnet_jax import augment
from alexnet_jax.data import image_statistics
from alexnet_jax.explanation import packing
from alexnet_jax.explanation.subject import Subject
from alexnet_jax.figures import shown_images

_IMAGES = 1000  # of the training set, for its colours, where no statistics are stored


def collect(subject: Subject) -> dict[str, Any]:
    """The views of testing, their probabilities for each shown image
    `[images, views, classes]`, and the settings of training's views."""
    settings = subject.config.augment
    size = subject.config.data.image_size
    offsets, flips = augment.test_views(size, settings.crop_size, 10)
    return {
        "offsets": offsets.tolist(),
        "flips": flips.tolist(),
        "probabilities": packing.rounded(probabilities(subject, offsets, flips)),
        "random_crop": settings.random_crop,
        "horizontal_flip": settings.horizontal_flip,
        "color_shift": settings.color_shift,
        "std": settings.color_shift_std,
        "divisor": settings.color_shift_divisor,
        "colors": _colors(subject),
    }


def probabilities(
    subject: Subject, offsets: np.ndarray, flips: np.ndarray
) -> np.ndarray:
    """The probabilities of each view: float32 `[images, views, classes]`."""
    crop = subject.config.augment.crop_size
    images = subject.shown.images
    views = np.stack(
        [
            _view(images, top, left, crop, bool(mirrored))
            for (top, left), mirrored in zip(offsets, flips, strict=True)
        ],
        axis=1,
    )
    flat = views.reshape(-1, crop, crop, 3)
    predicted = subject.model.predict(flat, views="crop").probabilities
    return predicted.reshape(*views.shape[:2], -1)


def _view(
    images: np.ndarray, top: int, left: int, crop: int, mirrored: bool
) -> np.ndarray:
    view = images[:, top : top + crop, left : left + crop]
    return view[:, :, ::-1] if mirrored else view


def _colors(subject: Subject) -> dict[str, Any] | None:
    """Standard deviation along each principal component of RGB, and its direction; of
    the run, else of the first training images. None without either."""
    stored = subject.path / image_statistics.FILE
    if stored.exists():
        statistics, count = image_statistics.load(stored), None
    elif subject.training is not None:
        count = min(_IMAGES, subject.training.num_examples)
        images, label = shown_images.read(subject.training, np.arange(count))
        statistics = image_statistics.sums_of(images[label >= 0]).statistics()
    else:
        return None
    stddev, direction = image_statistics.principal_components(statistics.covariance)
    return {
        "images": count,
        "stddev": packing.rounded(stddev),
        "direction": packing.rounded(direction),
    }
