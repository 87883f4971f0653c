"""The class names of a run, in the order of the network's outputs."""

import collections
from pathlib import Path

import numpy as np

from alexnet_jax.data import ilsvrc2012
from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files
from alexnet_jax.system.streams import printable

FILE = "classes.txt"


def write(workdir: Path, names: list[str]) -> None:
    """Writes the names to a run directory, one per line."""
    lines = "".join(f"{name}\n" for name in names)
    atomic_files.write_bytes(workdir / FILE, lines.encode())


def read(workdir: Path) -> list[str] | None:
    """The class names in a run directory; None if its dataset has none."""
    path = workdir / FILE
    if not path.exists():
        return None
    return path.read_bytes().decode().removesuffix("\n").split("\n")


def outputs_of(dataset: list[str], network: list[str]) -> np.ndarray:
    """The network output of each class of a dataset: int32 `[classes]`.

    Raises:
        UserError: the dataset has a class that the network was not trained on.
    """
    output_of = {name: output for output, name in enumerate(network)}
    unknown = [name for name in dataset if name not in output_of]
    if unknown:
        raise UserError(
            f"{len(unknown)} of the dataset's {len(dataset)} classes are not among the "
            f"{len(network)} of the network: {printable(', '.join(unknown[:5]))}."
        )
    return np.array([output_of[name] for name in dataset], np.int32)


def readable(names: list[str] | None, num_classes: int) -> list[str]:
    """Readable names: words for ImageNet synsets, all other names unchanged.

    A synset gets its first word. If another synset has the same first word, it gets the
    full list of words; if that list is a single word, the WordNet id is added ("crane"
    is a bird and a machine).

    Args:
        names: names of the outputs. None means that they are numbered.
    """
    if names is None:
        return [str(label) for label in range(num_classes)]
    words = {synset.wnid: synset.words for synset in ilsvrc2012.synsets()}
    if any(name not in words for name in names):
        return names
    first = {wnid: text.split(", ")[0] for wnid, text in words.items()}
    count = collections.Counter(first.values())

    def shortest(name: str) -> str:
        if count[first[name]] == 1:
            return first[name]
        return words[name] if words[name] != first[name] else f"{words[name]} ({name})"

    return [shortest(name) for name in names]
