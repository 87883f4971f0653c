"""Loss and top-k errors of examples, from logits or from predictions."""

import jax
import jax.numpy as jnp
import numpy as np


def top_error(logits: jax.Array, label: jax.Array, k: int) -> jax.Array:
    """0 if the label is among the `k` highest logits, 1 if not, in between for ties.

    The label is right if fewer than `k` classes score higher. If classes tie with it
    for the last places, it gets its share of them (2012 code, layer_kernels.cu).

    Args:
        logits: float32 `[batch, classes]`.
        label: int32 `[batch]`.

    Returns:
        float32 `[batch]`, 0 to 1.
    """
    own = jnp.take_along_axis(logits, label[:, None], axis=-1)
    higher = jnp.sum(logits > own, axis=-1)
    equal = jnp.sum(logits == own, axis=-1)  # includes the label
    score = jnp.clip((k - higher) / jnp.maximum(equal, 1), 0.0, 1.0)
    return jnp.where(equal > 0, 1.0 - score, 1.0)  # a NaN logit is an error


def has_top5(num_classes: int) -> bool:
    """False if the five best classes are all there are, so that the error is 0."""
    return num_classes > 5


def example_scores(
    log_probabilities: np.ndarray, label: np.ndarray
) -> dict[str, np.ndarray]:
    """Loss and errors of each example.

    Args:
        log_probabilities: float32 `[examples, classes]`.
        label: int32 `[examples]`.

    Returns:
        "loss", "top1_error" and, for more than five classes, "top5_error", float32
        `[examples]`. The mean of the errors is the error rate.
    """
    predicted = jnp.asarray(log_probabilities)
    classes = jnp.asarray(label)
    scores = {
        "loss": -np.take_along_axis(log_probabilities, label[:, None], axis=1)[:, 0],
        "top1_error": np.asarray(top_error(predicted, classes, 1)),
    }
    if has_top5(log_probabilities.shape[1]):
        scores["top5_error"] = np.asarray(top_error(predicted, classes, 5))
    return scores


def accepted_scores(
    log_probabilities: np.ndarray, accepted: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """Errors if an example has several right classes, or none (ImageNet-ReaL).

    Args:
        accepted: the right classes of each example; an example without any is left out.

    Returns:
        "top1_error" and "top5_error", float32, of the examples that count.
    """
    order = np.argsort(-log_probabilities, axis=1, kind="stable")
    hits = [
        np.isin(row[:5], right)
        for row, right in zip(order, accepted, strict=True)
        if len(right)
    ]
    hit = np.array(hits, bool).reshape(-1, min(5, order.shape[1]))
    return {
        "top1_error": np.where(hit[:, 0], 0.0, 1.0),
        "top5_error": np.where(hit.any(axis=1), 0.0, 1.0),
    }
