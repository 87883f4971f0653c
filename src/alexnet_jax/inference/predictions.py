"""Predicted probabilities: averaged over views, and over networks."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from alexnet_jax import augment, model
from alexnet_jax.config import Config
from alexnet_jax.system.streams import printable

_SHOWN = 3  # images in a repr


class Predictions(NamedTuple):
    """Predictions of a network for images."""

    probabilities: np.ndarray
    """float32 `[images, classes]`; each row sums to 1."""
    class_names: list[str]
    """Readable names, in the order of the classes."""

    def top(self, k: int = 5) -> list[list[tuple[str, float]]]:
        """The most probable classes of each image, (name, probability), best first."""
        return [
            [(self.class_names[i], float(row[i])) for i in top_classes(row, k)]
            for row in self.probabilities
        ]

    def __repr__(self) -> str:
        """One line: the counts, and the best class of the first images."""
        images, classes = self.probabilities.shape
        first = Predictions(self.probabilities[:_SHOWN], self.class_names).top(1)
        best = [f"{printable(name)} {value:.1%}" for ((name, value),) in first]
        more = ["..."] * (images > len(best))
        return (
            f"Predictions({images:,} image{'s' * (images != 1)}, {classes:,} classes; "
            f"best: {', '.join(best + more)})"
        )


def top_classes(values: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k highest of `[classes]`, highest first."""
    return np.argsort(-values, kind="stable")[:k]


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
        image: uint8 `[batch, size, size, 3]`, RGB 0-255. An image of the size of the
            crop is its own only view.
        num_views: 1 or 10, see `augment.test_views`.

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


def views_warning(configs: Sequence[Config], views: int | str) -> str | None:
    """A warning if networks that never saw a mirror image are asked about ten views,
    half of which are mirror images; None if all is well."""
    if views != 10 or all(config.augment.horizontal_flip for config in configs):
        return None
    return (
        "half of the ten views are mirror images, and training had none "
        "(--augment.horizontal-flip): --views 1 is likely to be better"
    )
