"""Part 7: units of fc6 with and without masks, and what the network says of each."""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alexnet_jax import augment, model
from alexnet_jax.config import Config
from alexnet_jax.data import user_images
from alexnet_jax.explanation import packing
from alexnet_jax.explanation.subject import Subject

_PASSES = 8


def collect(subject: Subject) -> dict[str, Any]:
    """Activations of fc6, float32 `[images, units]`, before any mask or factor; the
    probabilities of several passes with masks, and of testing."""
    config = subject.config.model
    return {
        "variant": config.dropout,
        "rate": config.dropout_rate,
        "units": config.fc6.features,
        "fc6": packing.floats(subject.stages["fc6.activation"]),
        "passes": packing.rounded(passes(subject)),
        "test": packing.rounded(_softmax(subject.stages["fc8.linear"])),
    }


def passes(subject: Subject) -> np.ndarray:
    """Probabilities of passes with a mask each: float32 `[images, passes, classes]`."""
    source = user_images.open_pictures(
        list(subject.shown.images), subject.config.data.image_size
    )
    parts = subject.model.each_batch(
        masked, source, num_workers=subject.num_workers, num_passes=_PASSES
    )
    with contextlib.closing(parts):
        return np.concatenate([part.output for part in parts])


def masked(
    params: Any,
    image: jax.Array,
    mean_image: jax.Array,
    *,
    config: Config,
    num_passes: int,
) -> jax.Array:
    """Probabilities of the centre view with masks, as in training."""
    view = augment.center_view(image, mean_image, config.augment)

    def one(key: jax.Array) -> jax.Array:
        return jax.nn.softmax(model.logits(config.model, params, view, dropout_key=key))

    keys = jax.random.split(jax.random.key(config.seed), num_passes)
    return jnp.moveaxis(jax.lax.map(one, keys), 0, 1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
