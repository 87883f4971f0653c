"""Part 2: the share of units that are silent in each layer."""

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
from alexnet_jax.inference import activations

SATURATED = 0.99  # of tanh, whose gradient is 2 % of its largest there


def collect(subject: Subject) -> dict[str, Any]:
    """For each layer and column the share of units that are 0 (ReLU) or beyond ±0.99
    (tanh), over images of the evaluation split, or the shown ones."""
    shown = subject.candidates or subject.shown
    source = user_images.open_pictures(
        list(shown.images), subject.config.data.image_size
    )
    parts = subject.model.each_batch(
        silent, source, batch_size=64, num_workers=subject.num_workers
    )
    with contextlib.closing(parts):
        shares = [part.output for part in parts]
    columns = subject.config.model.num_columns
    by_layer = {}
    for stage in shares[0]:
        of_maps = np.concatenate([part[stage] for part in shares]).mean(axis=0)
        of_columns = of_maps.reshape(columns, -1).mean(axis=1)
        by_layer[activations.layer_of(stage)] = packing.rounded(of_columns)
    return {"images": len(shown.images), "shares": by_layer, "saturated": SATURATED}


def silent(
    params: Any, image: jax.Array, mean_image: jax.Array, *, config: Config
) -> dict[str, jax.Array]:
    """The share of silent units of each map, float32 `[batch, maps]` by stage."""
    view = augment.center_view(image, mean_image, config.augment)
    stages = model.stages(config.model, params, view)
    is_relu = config.model.activation == "relu"
    found = {}
    for name, values in stages.items():
        if name.endswith(".activation"):
            is_silent = values == 0 if is_relu else jnp.abs(values) > SATURATED
            pixels = tuple(range(1, values.ndim - 1))
            found[name] = is_silent.astype(jnp.float32).mean(axis=pixels)
    return found
