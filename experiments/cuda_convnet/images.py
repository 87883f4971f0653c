"""CIFAR-10 in memory and the views of it that the nets see: crops, mirrors, test views.

Pixels are on the 0-255 scale minus the mean image. As in AlexNet, the centre of the
mean image is subtracted from every crop, wherever the crop lies (cuda-convnet, "K1",
convdata.py).
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from alexnet_jax import augment
from alexnet_jax.config import AugmentConfig, DataConfig
from alexnet_jax.data import loader
from alexnet_jax.data.source import Source, open_source
from alexnet_jax.errors import UserError
from alexnet_jax.system import threads
from experiments.cuda_convnet import nets
from experiments.cuda_convnet.nets import Recipe


class Images(NamedTuple):
    """A whole split on one device."""

    image: jax.Array
    """uint8 `[examples, 32, 32, 3]`, RGB."""
    label: jax.Array
    """int32 `[examples]`."""


class Cifar10(NamedTuple):
    """Both splits and the mean of the training images."""

    train: Images
    test: Images
    mean_image: jax.Array
    """float32 `[32, 32, 3]`."""


def load_cifar10(data_dir: str | None) -> Cifar10:
    """Reads the prepared tfds dataset, which takes a few seconds.

    Raises:
        UserError: the dataset has not been prepared.
    """
    config = DataConfig(
        name="cifar10",
        data_dir=data_dir,
        image_size=nets.IMAGE_SIZE,
        stored="records",
    )
    train_source = open_source(config, config.train_split)
    test_source = open_source(config, config.eval_split)
    image, label = _read(train_source)
    return Cifar10(
        train=Images(*jax.device_put((image, label))),
        test=Images(*jax.device_put(_read(test_source))),
        mean_image=jax.device_put(np.mean(image, axis=0, dtype=np.float64).astype("f")),
    )


def _read(source: Source) -> tuple[np.ndarray, np.ndarray]:
    if source.num_classes != nets.NUM_CLASSES:
        raise UserError(f"{source.name} has {source.num_classes} classes, not 10.")
    with ThreadPoolExecutor(threads.count(None)) as pool:
        return loader.read_rows(source, np.arange(source.num_examples), pool)


def training_views(
    key: jax.Array, image: jax.Array, mean_image: jax.Array, recipe: Recipe
) -> jax.Array:
    """Crops and mirrors each image independently, if the recipe does.

    Args:
        image: uint8 `[batch, 32, 32, 3]`.

    Returns:
        float32 `[batch, crop_size, crop_size, 3]`.
    """
    if recipe.crop_size < image.shape[1] or recipe.flip:
        config = AugmentConfig(crop_size=recipe.crop_size, horizontal_flip=recipe.flip)
        image = augment.random_crop_and_flip(key, image, config)
    return _minus_mean(image, mean_image)


def _minus_mean(crop: jax.Array, mean_image: jax.Array) -> jax.Array:
    mean = augment.center_crop(mean_image, crop.shape[1])
    return crop.astype(jnp.float32) - mean[None]


def test_views(
    image: jax.Array, mean_image: jax.Array, crop_size: int, num_views: int
) -> list[jax.Array]:
    """Views of test images, whose predictions are averaged.

    1 is the centre; 9 is a 3x3 grid, not mirrored (2012 release); 10 is the four
    corners and the centre, each also mirrored (K1).

    Args:
        image: uint8 `[batch, 32, 32, 3]`.

    Returns:
        `num_views` arrays float32 `[batch, crop_size, crop_size, 3]`.
    """
    views = []
    for top, left, mirrored in view_positions(image.shape[1] - crop_size, num_views):
        crop = image[:, top : top + crop_size, left : left + crop_size]
        views.append(_minus_mean(crop[:, :, ::-1] if mirrored else crop, mean_image))
    return views


def view_positions(border: int, num_views: int) -> list[tuple[int, int, bool]]:
    """Top, left and "is mirrored" of each view.

    Args:
        border: image size minus crop size, 8 for 24 from 32.
    """
    middle = border // 2
    match num_views:
        case 1:
            return [(middle, middle, False)]
        case 9:
            grid = (0, middle, border)
            return [(top, left, False) for top in grid for left in grid]
        case 10:
            corners = [(top, left) for top in (0, border) for left in (0, border)]
            positions = [*corners, (middle, middle)]
            return [(top, left, m) for m in (False, True) for top, left in positions]
    raise ValueError(f"num_views must be 1, 9 or 10, not {num_views}")
