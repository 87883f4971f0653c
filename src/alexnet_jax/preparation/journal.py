"""The progress of a preparation, so that it can resume after a kill.

Shards are written one after another, and the journal is replaced after each. A shard
that is not in the journal is written again, so the result is byte-identical.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax import config_json
from alexnet_jax.data.image_statistics import Sums, no_images, read_arrays
from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files

_FILE = "journal.npz"


@dataclass
class SplitJournal:
    """The complete shards of a split."""

    shard_lengths: list[int] = field(default_factory=list)
    num_bytes: int = 0
    num_originals: int = 0
    unreadable: list[str] = field(default_factory=list)


@dataclass
class Journal:
    """The state of a dataset while it is being written."""

    settings: dict[str, Any]
    """Everything that the result depends on."""
    splits: dict[str, SplitJournal]
    sums: Sums
    """Of the training set."""

    def save(self, directory: Path) -> None:
        """Replaces the journal in a directory, the whole file or nothing."""
        splits = {name: vars(split) for name, split in self.splits.items()}
        facts = json.dumps({"settings": self.settings, "splits": splits})
        with atomic_files.replacing(directory / _FILE) as partial:
            np.savez(partial, facts=np.array(facts), **vars(self.sums))


def open_journal(
    directory: Path, settings: dict[str, Any], splits: list[str], image_size: int
) -> Journal:
    """The journal in a directory, or a new one.

    Raises:
        UserError: the journal is damaged or was started with other settings.
    """
    path = directory / _FILE
    if not path.exists():
        empty = {name: SplitJournal() for name in splits}
        return Journal(settings, empty, no_images(image_size))
    names = ("facts", "num_images", "total", "products")
    remedy = f"delete {directory} and start over"
    text, num_images, *arrays = read_arrays(path, names, remedy)
    facts = json.loads(str(text))
    refuse_other(directory, facts["settings"], settings)
    known = {name: SplitJournal(**split) for name, split in facts["splits"].items()}
    return Journal(settings, known, Sums(int(num_images), *arrays))


def refuse_other(place: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raises UserError, listing the differences, unless the settings are equal."""
    # Through JSON, like the old ones, so that tuples and lists compare equal.
    lines = config_json.differing_lines(old, json.loads(json.dumps(new)), option="")
    if lines:
        raise UserError(
            f"{place} was prepared with other settings:\n"
            + "\n".join(lines)
            + "\nUse another --name, or delete it."
        )
