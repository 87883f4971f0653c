"""Augmentation on the device, inside jit, from uint8 batches (paper section 4.1).

Random crops and mirror images, the subtraction of the mean image, and the colour shift
along the principal components of RGB. Pixels stay on the 0-255 scale. What happens to
an image depends on the key and on its place in the global batch, never on the devices.
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
    """float32 `[3, 3]`, a principal component in each row."""


def center_crop(image: jax.Array, crop_size: int) -> jax.Array:
    """The middle `[..., crop_size, crop_size, 3]` of `[..., size, size, 3]`."""
    offset = (image.shape[-2] - crop_size) // 2
    window = slice(offset, offset + crop_size)
    return image[..., window, window, :]


def crop_and_flip(
    image: jax.Array, offset: jax.Array, flip: jax.Array, crop_size: int
) -> jax.Array:
    """Crops each image at its own place and mirrors those that are marked.

    Args:
        image: `[batch, size, size, 3]`.
        offset: int32 `[batch, 2]`, top and left of the crops.
        flip: bool `[batch]`, whether left and right change places.

    Returns:
        `[batch, crop_size, crop_size, 3]`, of the dtype of image.
    """

    def one(image: jax.Array, offset: jax.Array, flip: jax.Array) -> jax.Array:
        start = (offset[0], offset[1], jnp.zeros((), offset.dtype))
        crop = lax.dynamic_slice(image, start, (crop_size, crop_size, 3))
        return jnp.where(flip, crop[:, ::-1], crop)

    return jax.vmap(one)(image, offset, flip)


def random_crop_and_flip(
    key: jax.Array, image: jax.Array, settings: AugmentConfig
) -> jax.Array:
    """Crops at offsets uniform on 0 to size - crop_size, mirrored with probability 1/2.

    With `shared_by` n, n consecutive images share one draw, as 32 do in 2012.

    Args:
        image: `[batch, size, size, 3]`.

    Returns:
        `[batch, crop_size, crop_size, 3]`, of the dtype of image.
    """
    batch, size = image.shape[:2]
    draws = -(-batch // settings.shared_by)
    crop_key, flip_key = jax.random.split(key)
    places = size - settings.crop_size + 1
    offset = jax.random.randint(crop_key, (draws, 2), 0, places)
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
    stddev: jax.Array,
    direction: jax.Array,
    *,
    variant: str,
    std: float,
    divisor: float,
) -> jax.Array:
    """Adds one random multiple of each principal component of RGB to a whole image.

    Form "2012" (convdata_jpeg.py): y = (x + sum_i a_i s_i p_i) / divisor, with a_i
    drawn from N(0, std^2) once an image, s_i the standard deviation along p_i. Form
    "paper" (section 4.1): y = x + sum_i a_i l_i p_i, with the eigenvalue l_i = s_i^2.

    # Deviation: the text's eigenvalues on 0-255 would shift by some 1,500 grey levels,
    # so form "paper" reckons them on the 0-1 scale, which makes l_i = s_i^2 / 255.

    Args:
        image: float32 `[batch, height, width, 3]`, 0-255, mean subtracted.
        stddev: float32 `[3]`, on the 0-255 scale.
        direction: float32 `[3, 3]`, a principal component in each row.

    Returns:
        float32 `[batch, height, width, 3]`.
    """
    amount = std * jax.random.normal(key, (image.shape[0], 3))
    scale = stddev if variant == "2012" else jnp.square(stddev) / _WHITE
    shift = (amount * scale[None]) @ direction
    shifted = image + shift[:, None, None, :]
    return shifted / divisor if variant == "2012" else shifted


def training_views(
    key: jax.Array,
    image: jax.Array,
    epoch: jax.Array,
    statistics: ImageStatistics,
    settings: AugmentConfig,
) -> jax.Array:
    """What the network sees of a training batch.

    Crop, mirror, minus the central crop of the mean image wherever the crop lies (as
    in 2012), colour shift until epoch `color_shift_until`; afterwards neither the
    shift nor its divisor, as in testing.

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
    view = _minus_mean(crop, statistics.mean_image, settings.crop_size)
    if settings.color_shift == "none":
        return _scaled(view, settings)
    shifted = pca_color_shift(
        color_key,
        view,
        statistics.stddev,
        statistics.direction,
        variant=settings.color_shift,
        std=settings.color_shift_std,
        divisor=settings.color_shift_divisor,
    )
    if settings.color_shift_until is not None:
        shifted = jnp.where(epoch < settings.color_shift_until, shifted, view)
    return _scaled(shifted, settings)


def test_views(
    size: int, crop_size: int, num_views: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the views of testing lie (paper section 4.1; 2012 code, convdata_jpeg.py).

    1: the centre. 10: the four corners and the centre, then their mirror images.

    Returns:
        int32 `[num_views, 2]`, top and left, and bool `[num_views]`, mirrored or not.
    """
    far = size - crop_size
    center = (far // 2, far // 2)
    if num_views == 1:
        return np.array([center], np.int32), np.array([False])
    places = [(0, 0), (0, far), (far, 0), (far, far), center]
    return np.array(places * 2, np.int32), np.repeat([False, True], len(places))


def view(
    image: jax.Array,
    mean_image: jax.Array,
    offset: jax.Array,
    flip: jax.Array,
    settings: AugmentConfig,
) -> jax.Array:
    """One view of a batch, the same of each image; the mean's centre is subtracted
    wherever the view lies, as in 2012.

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
    return _scaled(_minus_mean(crop, mean_image, size), settings)


def center_view(
    image: jax.Array, mean_image: jax.Array, settings: AugmentConfig
) -> jax.Array:
    """The one view of ordinary testing: the middle of the image minus the mean's.

    Args:
        image: uint8 `[batch, size, size, 3]`, RGB 0-255.
        mean_image: float32 `[size, size, 3]`, 0-255.

    Returns:
        float32 `[batch, crop_size, crop_size, 3]`.
    """
    size = settings.crop_size
    view = _minus_mean(center_crop(image, size), mean_image, size)
    return _scaled(view, settings)


def _minus_mean(crop: jax.Array, mean_image: jax.Array, crop_size: int) -> jax.Array:
    mean = center_crop(mean_image, crop_size)
    return crop.astype(jnp.float32) - mean[None]


def _scaled(view: jax.Array, settings: AugmentConfig) -> jax.Array:
    scale = settings.pixel_scale
    if scale == 1:
        return view
    if isinstance(scale, tuple):  # of each channel
        return view * np.array(scale, np.float32).reshape(1, 1, 1, 3)
    return view * scale
