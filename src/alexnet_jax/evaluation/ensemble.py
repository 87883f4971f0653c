"""One network or several on a set of images: what each says, and all together."""

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
    """What networks say of a set, in the order of its examples."""

    source: Source
    class_names: list[str] | None
    """Of the columns of the arrays below."""
    label: np.ndarray
    """int32 `[examples]`, a column; -1 where there is none."""
    members: list[np.ndarray]
    """Logarithms of probabilities of each network, float32 `[examples, classes]`."""
    together: np.ndarray
    """The same of the ensemble."""


def open_set(
    member: Network, chosen: EvaluationSet, data_dir: str | None, damaged: str
) -> Source:
    """The images of a set in the size that a network wants.

    Raises:
        UserError: there is no such set.
    """
    size = member.config.data.image_size
    if chosen.is_crop:
        size = member.config.augment.crop_size
    settings = DataConfig(
        name=chosen.dataset,
        data_dir=data_dir or member.config.data.data_dir,
        image_size=size,
        squash=member.config.data.squash,
        label=chosen.label,
        damaged=damaged,  # type: ignore[arg-type]
    )
    return open_source(settings, chosen.split)


def ask(
    members: list[Model],
    opened: list[Source],
    chosen: EvaluationSet,
    *,
    weights: Sequence[float],
    num_views: int,
    batch_size: int | None,
    num_workers: int | None,
) -> Answers:
    """Predictions of all members for all examples of a set.

    Where the set has other classes than the networks, or counts only those that occur,
    probabilities are those among its classes.

    Raises:
        UserError: a network has not learned a class of the set.
    """
    outputs = [
        _outputs(member.network, source)
        for member, source in zip(members, opened, strict=True)
    ]
    found = []
    for member, source in zip(members, opened, strict=True):
        predicted, label = predict(
            member,
            source,
            num_views=1 if chosen.is_crop else num_views,
            batch_size=batch_size,
            num_workers=num_workers,
        )
        found.append(predicted)
    names = opened[0].class_names
    if chosen.occurring_only:
        kept = np.unique(label[label >= 0])
        outputs = [output[kept] for output in outputs]
        label = np.where(label >= 0, np.searchsorted(kept, label), -1).astype(np.int32)
        names = [names[i] for i in kept] if names else None
    found = [_among(*pair) for pair in zip(found, outputs, strict=True)]
    together = (
        predictions.ensemble(found, list(weights)) if len(found) > 1 else found[0]
    )
    return Answers(opened[0], names, label, found, together)


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
        Logarithms of probabilities, float32 `[examples, classes]`, and labels, int32
        `[examples]`, -1 where an example was damaged and skipped or has no label.
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
            log_probabilities.append(part.found)
            labels.append(part.label)
            counter.add(len(part.label))
    return np.concatenate(log_probabilities), np.concatenate(labels)


def _outputs(member: Network, source: Source) -> np.ndarray:
    """The output of the network for each class of the set."""
    learned = member.class_names
    if learned is None or source.class_names is None:
        return np.arange(member.config.model.num_classes)
    return class_names.outputs_of(source.class_names, learned)


def _among(log_probabilities: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """The probabilities of these outputs, in this order, if it must be one of them."""
    if np.array_equal(outputs, np.arange(log_probabilities.shape[1])):
        return log_probabilities
    chosen = log_probabilities[:, outputs]
    highest = chosen.max(axis=1, keepdims=True)
    return chosen - highest - np.log(np.exp(chosen - highest).sum(1, keepdims=True))


def accepted_classes(answers: Answers, feature: str) -> list[np.ndarray]:
    """The right classes of each example, where a set says that there may be several."""
    records = answers.source.records
    return [np.asarray(records[i][feature]) for i in range(len(answers.label))]


def mean_scores(
    log_probabilities: np.ndarray, answers: Answers, accepted: list[np.ndarray] | None
) -> dict[str, float]:
    """Means over the examples that have a label, and how many these are."""
    if accepted is not None:
        found = metrics.accepted_scores(log_probabilities, accepted)
    else:
        labelled = answers.label >= 0
        found = metrics.example_scores(
            log_probabilities[labelled], answers.label[labelled]
        )
    examples = len(found["top1_error"])
    if not examples:
        raise UserError(
            f"no example of {answers.source.name}, split {answers.source.split}, has a "
            "label: only --predictions and --submission can be had."
        )
    means = {
        name: float(values.mean(dtype=np.float64)) for name, values in found.items()
    }
    return means | {"examples": examples}
