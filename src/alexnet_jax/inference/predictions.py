"""Predicted probabilities: averaged over views, and over networks."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from alexnet_jax import augment, model
from alexnet_jax.config import Config


def log_probabilities(
    params: Any,
    image: jax.Array,
    mean_image: jax.Array,
    *,
    config: Config,
    num_views: int,
) -> jax.Array:
    """log of the mean over views of softmax(logits) (paper, section 4.1).

    Args:
        image: uint8 `[batch, size, size, 3]`, RGB 0-255.

    Returns:
        float32 `[batch, classes]`.
    """
    settings = config.augment
    places = augment.test_views(image.shape[1], settings.crop_size, num_views)

    def of_view(place: tuple[jax.Array, jax.Array]) -> jax.Array:
        view = augment.view(image, mean_image, *place, settings)
        return jax.nn.log_softmax(model.logits(config.model, params, view))

    each = lax.map(of_view, tuple(map(jnp.asarray, places)))
    return jax.nn.logsumexp(each, axis=0) - jnp.log(jnp.float32(num_views))


def ensemble(members: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """log of a weighted mean of probabilities (paper, section 6).

    Args:
        members: log-probabilities of each network, `[examples, classes]`.

    Returns:
        float32 `[examples, classes]`.
    """
    total = np.zeros(members[0].shape)
    for member, weight in zip(members, weights, strict=True):
        total += weight / sum(weights) * np.exp(member.astype(np.float64))
    with np.errstate(divide="ignore"):  # a probability may underflow to 0
        return np.log(total).astype(np.float32)


def views_warning(configs: Sequence[Config], num_views: int) -> str | None:
    """A remark if networks that never saw a mirror image are asked about ten views,
    half of which are mirror images; None if all is well."""
    if num_views == 1 or all(config.augment.horizontal_flip for config in configs):
        return None
    return (
        "half of the ten views are mirror images, and training had none "
        "(--augment.horizontal-flip): --views 1 is likely to be better"
    )
