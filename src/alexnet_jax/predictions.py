"""Predictions of trained networks on all examples of a split, in their order."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from alexnet_jax import (
    augment,
    checkpoint,
    columns,
    data,
    model,
    statistics,
    train_state,
    workdir,
)
from alexnet_jax.config import Config
from alexnet_jax.metrics import ImageCounter
from alexnet_jax.sources import Source


class Member(NamedTuple):
    """A trained network."""

    directory: Path
    config: Config
    step: int
    params: Any
    mean_image: jax.Array
    """float32 `[size, size, 3]`, 0-255."""


def load_member(directory: Path, which: str, mesh: Mesh) -> Member:
    """A network from its run directory; call it within `jax.set_mesh(mesh)`.

    Args:
        which: the checkpoint: "newest", "best" or a step.

    Raises:
        UserError: there is no such run or checkpoint.
    """
    config = workdir.read_config(directory)
    abstract = train_state.abstract_train_state(config, mesh)
    step, state = checkpoint.read_state(directory / "checkpoints", abstract, which)
    mean_image = statistics.load(directory / statistics.FILE).mean_image
    placed = jax.device_put(mean_image, columns.replicated(mesh))
    return Member(directory, config, step, state.params, placed)


def log_probabilities(
    params: Any,
    image: jax.Array,
    mean_image: jax.Array,
    *,
    config: Config,
    num_views: int,
) -> jax.Array:
    """log of the mean over views of softmax(logits) (paper section 4.1).

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


def predict(
    member: Member,
    source: Source,
    mesh: Mesh,
    *,
    num_views: int,
    batch_size: int,
    num_workers: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions for every example of a source, once and in order.

    Returns:
        Logarithms of probabilities, float32 `[examples, classes]`, and labels, int32
        `[examples]`, -1 where an example was damaged and skipped or has no label.
    """
    step = jax.jit(
        partial(_with_label, config=member.config, num_views=num_views),
        out_shardings=columns.replicated(mesh),
    )
    batches = data.eval_batches(
        source,
        batch_size=batch_size,
        sharding=columns.batch_sharding(mesh),
        num_workers=num_workers,
    )
    counter = ImageCounter(str(member.directory), source.num_examples)
    found, under_way = [], None
    with contextlib.closing(batches), contextlib.closing(counter):
        for batch in batches:
            result = step(member.params, batch, member.mean_image)
            if under_way is not None:  # fetched while the next batch is computed
                found.append(jax.device_get(under_way))
            under_way = result
            counter.add(min(batch_size, source.num_examples - len(found) * batch_size))
        found.append(jax.device_get(under_way))
    predicted, label = (np.concatenate(part) for part in zip(*found, strict=True))
    # The last batch was filled up.
    return predicted[: source.num_examples], label[: source.num_examples]


def _with_label(
    params: Any, batch: data.Batch, mean_image: jax.Array, **how: Any
) -> tuple[jax.Array, jax.Array]:
    image = batch["image"]
    return log_probabilities(params, image, mean_image, **how), batch["label"]


def ensemble(members: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """log of a weighted mean of probabilities (paper section 6): `[examples, classes]`.

    Args:
        members: logarithms of probabilities of each network.
    """
    total = np.zeros(members[0].shape)
    for member, weight in zip(members, weights, strict=True):
        total += weight / sum(weights) * np.exp(member.astype(np.float64))
    with np.errstate(divide="ignore"):  # a probability below the smallest float
        return np.log(total).astype(np.float32)
