"""Facts of ILSVRC 2012, the ImageNet challenge of the paper (section 2).

Synsets, their ids in the devkit and their image counts come from the devkit's table,
`ilsvrc2012_synsets.csv` here; the labels of the validation images come with tfds.
Classes are sorted by synset, as in tfds and nearly everywhere since.
"""

import csv
import functools
import importlib.resources
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet_jax.data import tfds_records
from alexnet_jax.errors import UserError

TRAIN_IMAGES = 1_281_167
VALIDATION_IMAGES = 50_000
_GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


class Synset(NamedTuple):
    """One of the thousand classes."""

    wnid: str
    """Its WordNet id, "n01440764"."""
    devkit_id: int
    """1 to 1000, as in the ground truth of the devkit and in submissions."""
    num_train_images: int
    words: str


@functools.cache
def synsets() -> tuple[Synset, ...]:
    """The classes, in label order."""
    table = importlib.resources.files("alexnet_jax.data") / "ilsvrc2012_synsets.csv"
    rows = csv.DictReader(table.read_text().splitlines())
    return tuple(
        sorted(
            Synset(
                row["wnid"],
                int(row["ILSVRC2012_ID"]),
                int(row["num_train_images"]),
                row["words"],
            )
            for row in rows
        )
    )


def class_names() -> list[str]:
    """The WordNet ids of the classes, in label order."""
    return [synset.wnid for synset in synsets()]


def devkit_ids() -> np.ndarray:
    """The devkit id of each label: int32 `[1000]`."""
    return np.array([synset.devkit_id for synset in synsets()], np.int32)


def validation_labels(devkit: Path | None) -> np.ndarray:
    """The label of validation image i + 1: int32 `[50000]`.

    Args:
        devkit: ILSVRC2012_devkit_t12.tar.gz. None means the list that comes with tfds.

    Raises:
        UserError: the devkit cannot be read or is a different one.
    """
    if devkit is None:
        lines = tfds_records.package_file("datasets/imagenet2012/validation_labels.txt")
        label_of = {name: label for label, name in enumerate(class_names())}
        return np.array([label_of[name] for name in lines.split()], np.int32)
    label_of_id = np.argsort(devkit_ids()).astype(np.int32)  # of id 1, 2, ...
    return label_of_id[_ground_truth(devkit) - 1]


def _ground_truth(devkit: Path) -> np.ndarray:
    try:
        with tarfile.open(devkit) as archive:
            member = next(
                m for m in archive if m.isfile() and m.name.endswith(_GROUND_TRUTH)
            )
            file = archive.extractfile(member)
            ids = np.array(file.read().split() if file else [], np.int32)
    except (OSError, tarfile.TarError, StopIteration, ValueError) as error:
        raise UserError(
            f"--devkit {devkit} has no readable {_GROUND_TRUTH} ({error}): give "
            "ILSVRC2012_devkit_t12.tar.gz, or omit it to use the labels of tfds."
        ) from error
    if len(ids) != VALIDATION_IMAGES or ids.min() < 1 or ids.max() > len(synsets()):
        raise UserError(
            f"--devkit {devkit}: {len(ids)} labels, expected {VALIDATION_IMAGES} from "
            f"1 to {len(synsets())}."
        )
    return ids
