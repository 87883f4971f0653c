"""Exact evaluation on the centre view: sums over every example, none twice."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from alexnet_jax import augment, model
from alexnet_jax.config import Config

SUMS = ("loss", "top1_error", "top5_error", "examples")


def top_error(logits: jax.Array, label: jax.Array, best: int) -> jax.Array:
    """Whether the label is not among the `best` highest logits.

    The label scores if fewer than `best` classes beat it; where classes tie with it for
    the last places it scores the share of the places (2012 code, layer_kernels.cu).

    Args:
        logits: float32 `[batch, classes]`.
        label: int32 `[batch]`.

    Returns:
        float32 `[batch]`, 0 to 1.
    """
    own = jnp.take_along_axis(logits, label[:, None], axis=-1)
    higher = jnp.sum(logits > own, axis=-1)
    equal = jnp.sum(logits == own, axis=-1)  # itself included
    score = jnp.clip((best - higher) / jnp.maximum(equal, 1), 0.0, 1.0)
    return jnp.where(equal > 0, 1.0 - score, 1.0)  # NaN equals nothing: an error


def eval_step(
    sums: dict[str, jax.Array],
    params: Any,
    batch: dict[str, jax.Array],
    mean_image: jax.Array,
    *,
    config: Config,
) -> dict[str, jax.Array]:
    """Adds a batch to the sums of loss, errors and examples.

    Args:
        batch: "image" uint8 `[batch, size, size, 3]`, "label" int32 `[batch]`, "mask"
            bool `[batch]`, false for padding.
    """
    view = augment.center_view(batch["image"], mean_image, config.augment.crop_size)
    logits = model.logits(config.model, params, view)
    label = batch["label"]
    values = {
        "loss": optax.softmax_cross_entropy_with_integer_labels(logits, label),
        "top1_error": top_error(logits, label, 1),
        "top5_error": top_error(logits, label, 5),
        "examples": jnp.ones(label.shape),
    }
    return {
        name: sums[name] + jnp.sum(jnp.where(batch["mask"], value, 0.0))
        for name, value in values.items()
    }


def evaluate(
    step: Any,
    params: Any,
    batches: Iterator[dict[str, jax.Array]],
    mean_image: jax.Array,
    zero: dict[str, jax.Array],
    num_examples: int,
) -> dict[str, float]:
    """Mean loss and errors over all batches.

    Args:
        step: `eval_step`, compiled.
        zero: the sums at the start, on the devices.
        num_examples: how many examples there must have been.
    """
    sums = zero
    for batch in batches:
        sums = step(sums, params, batch, mean_image)
    totals = {name: float(np.asarray(v)) for name, v in jax.device_get(sums).items()}
    examples = totals.pop("examples")
    if examples != num_examples:
        raise RuntimeError(f"evaluated {examples:g} examples of {num_examples}")
    return {name: value / examples for name, value in totals.items()} | {
        "examples": num_examples
    }
