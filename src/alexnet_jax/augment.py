"""Augmentation on the device, inside jit, from uint8 batches (paper section 4.1).

Random crops and mirror images, subtraction of the mean image, and the colour shift
along the principal components of RGB. Pixels stay on the 0-255 scale. The augmentation
of an image depends on the key and its index in the global batch, never on the devices.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from alexnet_jax.config import AugmentConfig


class ImageStatistics(NamedTuple):
    """Statistics of the training images, on the 0-255 scale."""

    mean_image: jax.Array
    """float32 `[size, size, 3]`."""
    stddev: jax.Array
    """float32 `[3]`, along the principal components of RGB, largest first."""
    direction: jax.Array
    """float32 `[3, 3]`, one principal component per row."""


def center_crop(image: jax.Array, crop_size: int) -> jax.Array:
    """The middle `[..., crop_size, crop_size, 3]` of `[..., size, size, 3]`."""
    offset = (image.shape[-2] - crop_size) // 2
    window = slice(offset, offset + crop_size)
    return image[..., window, window, :]


def crop_and_flip(
    image: jax.Array, offset: jax.Array, flip: jax.Array, crop_size: int
) -> jax.Array:
    """Crops each image at its own offset and mirrors where `flip` is set.

    Args:
        image: `[batch, size, size, 3]`.
        offset: int32 `[batch, 2]`, top and left of the crops.
        flip: bool `[batch]`, True to mirror left and right.

    Returns:
        `[batch, crop_size, crop_size, 3]`, of the dtype of image.
    """

    def view_of_one(image: jax.Array, offset: jax.Array, flip: jax.Array) -> jax.Array:
        start = (offset[0], offset[1], jnp.zeros((), offset.dtype))
        crop = lax.dynamic_slice(image, start, (crop_size, crop_size, 3))
        return jnp.where(flip, crop[:, ::-1], crop)

    return jax.vmap(view_of_one)(image, offset, flip)


def random_crop_and_flip(
    key: jax.Array, image: jax.Array, settings: AugmentConfig
) -> jax.Array:
    """Crops at offsets uniform on 0 to size - crop_size, mirrored with probability 1/2.

    If `shared_by` is n, n consecutive images share one draw (2012 code: 32).

    Args:
        image: `[batch, size, size, 3]`.

    Returns:
        `[batch, crop_size, crop_size, 3]`, of the dtype of image.
    """
    batch, size = image.shape[:2]
    draws = -(-batch // settings.shared_by)
    crop_key, flip_key = jax.random.split(key)
    num_offsets = size - settings.crop_size + 1
    offset = jax.random.randint(crop_key, (draws, 2), 0, num_offsets)
    flip = jax.random.bernoulli(flip_key, 0.5, (draws,))
    if not settings.random_crop:
        offset = jnp.full_like(offset, (size - settings.crop_size) // 2)
    if not settings.horizontal_flip:
        flip = jnp.zeros_like(flip)
    offset, flip = (
        jnp.repeat(draw, settings.shared_by, axis=0)[:batch] for draw in (offset, flip)
    )
    return crop_and_flip(image, offset, flip, settings.crop_size)


_WHITE = 255.0


def pca_color_shift(
    key: jax.Array,
    image: jax.Array,
    statistics: ImageStatistics,
    settings: AugmentConfig,
) -> jax.Array:
    """Adds one random multiple of each principal component of RGB to a whole image.

    Variant "2012" (convdata_jpeg.py): y = (x + sum_i a_i s_i p_i) / divisor, with a_i
    drawn from N(0, std^2) once per image, s_i the standard deviation along p_i. Variant
    "paper" (section 4.1): y = x + sum_i a_i l_i p_i, with the eigenvalue l_i = s_i^2.

    # Deviation: the text's eigenvalues on 0-255 would shift by some 1,500 grey levels,
    # so variant "paper" computes them on the 0-1 scale, where l_i = s_i^2 / 255.

    Args:
        image: float32 `[batch, height, width, 3]`, 0-255, mean subtracted.

    Returns:
        float32 `[batch, height, width, 3]`.
    """
    as_in_2012 = settings.color_shift == "2012"
    stddev = statistics.stddev
    amount = settings.color_shift_std * jax.random.normal(key, (image.shape[0], 3))
    scale = stddev if as_in_2012 else jnp.square(stddev) / _WHITE
    shift = (amount * scale[None]) @ statistics.direction
    shifted = image + shift[:, None, None, :]
    return shifted / settings.color_shift_divisor if as_in_2012 else shifted


def training_views(
    key: jax.Array,
    image: jax.Array,
    epoch: jax.Array,
    statistics: ImageStatistics,
    settings: AugmentConfig,
) -> jax.Array:
    """The network's input in training.

    Crop, mirror, subtract the centre of the mean image wherever the crop is (as in
    2012), and shift colours until epoch `color_shift_until`. After that, neither the
    shift nor its divisor applies, as in testing.

    Args:
        key: the key of this step.
        image: uint8 `[batch, size, size, 3]`, RGB 0-255.
        epoch: float32 scalar.

    Returns:
        float32 `[batch, crop_size, crop_size, 3]`, 0-255 minus mean (times
        pixel_scale).
    """
    view_key, color_key = jax.random.split(key)
    crop = random_crop_and_flip(view_key, image, settings)
    view = _minus_mean(crop, statistics.mean_image)
    if settings.color_shift == "none":
        return _scaled(view, settings)
    shifted = pca_color_shift(color_key, view, statistics, settings)
    if settings.color_shift_until is not None:
        shifted = jnp.where(epoch < settings.color_shift_until, shifted, view)
    return _scaled(shifted, settings)


def test_views(
    size: int, crop_size: int, num_views: int
) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of the views of testing (paper section 4.1; 2012 code, convdata_jpeg.py).

    1: the centre. 10: the four corners and the centre, then their mirror images.

    Returns:
        int32 `[num_views, 2]`, top and left, and bool `[num_views]`, True if mirrored.
    """
    far = size - crop_size
    center = (far // 2, far // 2)
    if num_views == 1:
        return np.array([center], np.int32), np.array([False])
    offsets = [(0, 0), (0, far), (far, 0), (far, far), center]
    return np.array(offsets * 2, np.int32), np.repeat([False, True], len(offsets))


def view(
    image: jax.Array,
    mean_image: jax.Array,
    offset: jax.Array,
    flip: jax.Array,
    settings: AugmentConfig,
) -> jax.Array:
    """The same view of every image of a batch.

    The centre of the mean image is subtracted wherever the view is, as in 2012.

    Args:
        image: uint8 `[batch, size, size, 3]`, RGB 0-255.
        offset: int32 `[2]`, top and left.
        flip: bool scalar.

    Returns:
        float32 `[batch, crop_size, crop_size, 3]`.
    """
    size = settings.crop_size
    crop = lax.dynamic_slice_in_dim(image, offset[0], size, axis=1)
    crop = lax.dynamic_slice_in_dim(crop, offset[1], size, axis=2)
    crop = jnp.where(flip, crop[:, :, ::-1], crop)
    return _scaled(_minus_mean(crop, mean_image), settings)


def center_view(
    image: jax.Array, mean_image: jax.Array, settings: AugmentConfig
) -> jax.Array:
    """The view of ordinary testing: the centre of the image minus that of the mean.

    Args:
        image: uint8 `[batch, size, size, 3]`, RGB 0-255.
        mean_image: float32 `[size, size, 3]`, 0-255.

    Returns:
        float32 `[batch, crop_size, crop_size, 3]`.
    """
    crop = center_crop(image, settings.crop_size)
    return _scaled(_minus_mean(crop, mean_image), settings)


def _minus_mean(crop: jax.Array, mean_image: jax.Array) -> jax.Array:
    mean = center_crop(mean_image, crop.shape[-2])
    return crop.astype(jnp.float32) - mean[None]


def _scaled(view: jax.Array, settings: AugmentConfig) -> jax.Array:
    scale = settings.pixel_scale
    if scale == 1:
        return view
    if isinstance(scale, tuple):  # one factor per channel
        return view * np.array(scale, np.float32).reshape(1, 1, 1, 3)
    return view * scale
