"""The names of the classes that a run has learned, in the order of its outputs."""

from pathlib import Path

import numpy as np

from alexnet_jax.config import UserError

FILE = "classes.txt"


def write(workdir: Path, names: list[str]) -> None:
    """Notes the names in a run directory, one a line."""
    (workdir / FILE).write_text("".join(f"{name}\n" for name in names))


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
