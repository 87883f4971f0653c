"""Predictions of each member and of the ensemble, on a set of images."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alexnet_jax import metrics
from alexnet_jax.config import DataConfig
from alexnet_jax.data import class_names
from alexnet_jax.data.source import Source, open_source
from alexnet_jax.errors import UserError
from alexnet_jax.evaluation.test_sets import EvaluationSet
from alexnet_jax.inference import predictions
from alexnet_jax.inference.trained_model import Model
from alexnet_jax.system.progress import ImageCounter
from alexnet_jax.weights.network import Network


@dataclass(frozen=True)
class Answers:
    """Predictions of networks for a set, in the order of its examples."""

    source: Source
    class_names: list[str] | None
    """Names of the classes below; None if the set has none."""
    label: np.ndarray
    """int32 `[examples]`, an index of a class; -1 means none."""
    members: list[np.ndarray]
    """Log-probabilities of each network, float32 `[examples, classes]`."""
    together: np.ndarray
    """Log-probabilities of the ensemble, float32 `[examples, classes]`."""


def open_set(
    member: Network, spec: EvaluationSet, data_dir: str | None, damaged: str
) -> Source:
    """Opens the images of a set in the size that a network expects.

    Raises:
        UserError: the set does not exist.
    """
    size = member.config.data.image_size
    if spec.is_crop:
        size = member.config.augment.crop_size
    data = member.config.data
    settings = DataConfig(
        name=spec.dataset,
        folder=data.folder if spec.dataset == data.name else None,
        held_out=data.held_out,
        data_dir=data_dir or data.data_dir,
        image_size=size,
        squash=data.squash,
        bilinear=data.bilinear,
        label=spec.label,
        damaged=damaged,  # type: ignore[arg-type]
    )
    return open_source(settings, spec.split)


def ask(
    members: list[Model],
    opened: list[Source],
    spec: EvaluationSet,
    *,
    weights: Sequence[float],
    num_views: int,
    batch_size: int | None,
    num_workers: int | None,
) -> Answers:
    """Predictions of all members for all examples of a set.

    If the set has other classes than the networks, or counts only those that occur,
    probabilities are renormalised over its classes.

    Args:
        opened: the source of the set for each member, from `open_set`.
        weights: of the members in the ensemble.

    Raises:
        UserError: a network has not learned a class of the set.
    """
    outputs = [
        _outputs(member.network, source)
        for member, source in zip(members, opened, strict=True)
    ]
    predicted = []
    for member, source in zip(members, opened, strict=True):
        log_probabilities, label = predict(
            member,
            source,
            num_views=1 if spec.is_crop else num_views,
            batch_size=batch_size,
            num_workers=num_workers,
        )
        predicted.append(log_probabilities)
    # The labels are the same for all members: they are those of the set.
    names = opened[0].class_names
    if spec.occurring_only:
        kept = np.unique(label[label >= 0])
        outputs = [output[kept] for output in outputs]
        label = np.where(label >= 0, np.searchsorted(kept, label), -1).astype(np.int32)
        names = [names[i] for i in kept] if names else None
    predicted = [_among(*pair) for pair in zip(predicted, outputs, strict=True)]
    together = predicted[0]
    if len(predicted) > 1:
        together = predictions.ensemble(predicted, list(weights))
    return Answers(opened[0], names, label, predicted, together)


def predict(
    model: Model,
    source: Source,
    *,
    num_views: int,
    batch_size: int | None = None,
    num_workers: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions for every example of a source, once and in order.

    Returns:
        Log-probabilities, float32 `[examples, classes]`, and labels, int32
        `[examples]`; -1 if an example was damaged and skipped, or has no label.
    """
    parts = model.each_batch(
        predictions.log_probabilities,
        source,
        batch_size=batch_size,
        num_workers=num_workers,
        num_views=num_views,
    )
    counter = ImageCounter(model.network.name, source.num_examples)
    log_probabilities, labels = [], []
    with contextlib.closing(parts), contextlib.closing(counter):
        for part in parts:
            log_probabilities.append(part.output)
            labels.append(part.label)
            counter.add(len(part.label))
    return np.concatenate(log_probabilities), np.concatenate(labels)


def _outputs(member: Network, source: Source) -> np.ndarray:
    """The index of the network's output for each class of the set."""
    learned = member.class_names
    if learned is None or source.class_names is None:
        return np.arange(member.config.model.num_classes)
    return class_names.outputs_of(source.class_names, learned)


def _among(log_probabilities: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Log-probabilities of these outputs, given that the class is one of them."""
    if np.array_equal(outputs, np.arange(log_probabilities.shape[1])):
        return log_probabilities
    kept = log_probabilities[:, outputs]
    highest = kept.max(axis=1, keepdims=True)
    return kept - highest - np.log(np.exp(kept - highest).sum(1, keepdims=True))


def accepted_classes(answers: Answers, feature: str) -> list[np.ndarray]:
    """The correct classes of each example, for sets that may have several."""
    records = answers.source.records
    return [np.asarray(records[i][feature]) for i in range(len(answers.label))]


def mean_scores(
    log_probabilities: np.ndarray, answers: Answers, accepted: list[np.ndarray] | None
) -> dict[str, float]:
    """Means over the labelled examples, and their number as "examples"."""
    if accepted is not None:
        scores = metrics.accepted_scores(log_probabilities, accepted)
    else:
        labelled = answers.label >= 0
        scores = metrics.example_scores(
            log_probabilities[labelled], answers.label[labelled]
        )
    examples = len(scores["top1_error"])
    if not examples:
        raise UserError(
            f"no example of {answers.source.name}, split {answers.source.split}, has a "
            "label: only --predictions and --submission can be written."
        )
    means = {
        name: float(values.mean(dtype=np.float64)) for name, values in scores.items()
    }
    return means | {"examples": examples}
