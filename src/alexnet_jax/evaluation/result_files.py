"""Files of predictions: probabilities, an ILSVRC submission, errors by class.

Files are written atomically.
"""

import csv
from pathlib import Path

import numpy as np

from alexnet_jax import metrics
from alexnet_jax.data import ilsvrc2012
from alexnet_jax.errors import UserError
from alexnet_jax.evaluation.ensemble import Answers
from alexnet_jax.system import atomic_files

_TOP = 5


def write_predictions(path: Path, answers: Answers) -> None:
    """Writes probabilities (float32 `[examples, classes]`), labels, file names and
    class names."""
    source = answers.source
    names = [source.key(index) for index in range(source.num_examples)]
    with atomic_files.replacing(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            probabilities=np.exp(answers.together),
            label=answers.label,
            file_name=np.array(names),
            class_names=np.array(answers.class_names or []),
        )


def devkit_ids(class_names: list[str] | None) -> np.ndarray:
    """The number of each class in the ILSVRC devkit, int32 `[classes]`.

    Raises:
        UserError: a class is not one of ILSVRC 2012.
    """
    known = {synset.wnid: synset.devkit_id for synset in ilsvrc2012.synsets()}
    if not class_names or any(name not in known for name in class_names):
        raise UserError("--submission: the classes of the set are not those of ILSVRC.")
    return np.array([known[name] for name in class_names], np.int32)


def write_submission(path: Path, answers: Answers) -> None:
    """Writes one line per image, in the order of the set: five devkit class numbers,
    best first."""
    best = np.argsort(-answers.together, axis=1, kind="stable")[:, :_TOP]
    lines = devkit_ids(answers.class_names)[best]
    text = "".join(" ".join(map(str, line)) + "\n" for line in lines)
    atomic_files.write_bytes(path, text.encode())


def write_per_class(path: Path, answers: Answers) -> None:
    """Writes class, number of images and errors for each class that has images, highest
    top-1 error first."""
    labelled = answers.label >= 0
    label = answers.label[labelled]
    scores = metrics.example_scores(answers.together[labelled], label)
    errors = [name for name in scores if name != "loss"]
    rows = []
    for index in np.unique(label):
        of_class = label == index
        name = answers.class_names[index] if answers.class_names else index
        means = [round(float(scores[error][of_class].mean()), 4) for error in errors]
        rows.append([name, int(of_class.sum()), *means])
    rows.sort(key=lambda row: -row[2])
    with (
        atomic_files.replacing(path) as partial,
        partial.open("w", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["class", "images", *errors])
        writer.writerows(rows)
