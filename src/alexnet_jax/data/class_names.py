"""The names of the classes that a run has learned, in the order of its outputs."""

import collections
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from alexnet_jax.data import ilsvrc2012
from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files

FILE = "classes.txt"


def write(workdir: Path, names: list[str]) -> None:
    """Notes the names in a run directory, one a line."""
    lines = "".join(f"{name}\n" for name in names)
    atomic_files.write_bytes(workdir / FILE, lines.encode())


def read(workdir: Path) -> list[str] | None:
    """The names that a run directory holds; none if its dataset has none."""
    path = workdir / FILE
    return path.read_text().splitlines() if path.exists() else None


def outputs_of(dataset: list[str], network: list[str]) -> np.ndarray:
    """The output of the network for each class of a dataset: int32 `[classes]`.

    Raises:
        UserError: the dataset has a class that the network has not learned.
    """
    place = {name: output for output, name in enumerate(network)}
    unknown = [name for name in dataset if name not in place]
    if unknown:
        raise UserError(
            f"{len(unknown)} of the dataset's {len(dataset)} classes are not among the "
            f"{len(network)} of the network: {', '.join(unknown[:5])}."
        )
    return np.array([place[name] for name in dataset], np.int32)


def readable(names: list[str] | None, num_classes: int) -> list[str]:
    """Names for people: words for the synsets of ImageNet, others as they are.

    Of the words of a synset the first; all where another synset has the same first
    one, and with its number where they are no more than that ("crane", a bird and a
    machine).

    Args:
        names: of the outputs; none: they are numbered.
    """
    if names is None:
        return [str(label) for label in range(num_classes)]
    words = {synset.wnid: synset.words for synset in ilsvrc2012.synsets()}
    if any(name not in words for name in names):
        return names
    short = collections.Counter(text.split(", ")[0] for text in words.values())
    return [_shortest(name, words[name], short) for name in names]


def _shortest(name: str, words: str, short: Mapping[str, int]) -> str:
    first = words.split(", ")[0]
    if short[first] == 1:
        return first
    return words if words != first else f"{first} ({name})"
