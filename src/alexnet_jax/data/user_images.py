"""Files, folders, arrays: pictures of users as a source of examples.

They pass through the same loader as a dataset. One that cannot be read does not stop
the others: it is noted, with its reason.
"""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from alexnet_jax.config import Config
from alexnet_jax.data import photographs
from alexnet_jax.data.photographs import Picture
from alexnet_jax.data.source import Source, open_source
from alexnet_jax.errors import UserError

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Pictures:
    """Pictures as a source, and what is wrong with some."""

    source: Source
    reasons: dict[int, str] = field(default_factory=dict)

    def problem(self, index: int) -> str | None:
        """Why an example could not be read, once it should have been."""
        if index not in self.source.skipped:
            return None
        return self.reasons.get(index, "a damaged record")

    def problems(self) -> dict[str, str]:
        """What could not be read so far: reasons by key."""
        return {
            self.source.key(index): str(self.problem(index))
            for index in sorted(self.source.skipped)
        }


def open_inputs(
    config: Config,
    arguments: Sequence[str | Path],
    *,
    dataset: str | None,
    split: str | None,
    data_dir: str | None,
    class_names: list[str] | None = None,
) -> Pictures:
    """What a command is to look at: files and folders, or a split of a dataset.

    Args:
        config: of the network: the size of the images, and the dataset and the split
            that stand for what is left out.
        class_names: see `open_pictures`.

    Raises:
        UserError: there is neither or both, or it is not there.
    """
    if dataset is None and split is None:
        size, squash = config.data.image_size, config.data.squash
        return open_pictures(find(arguments), size, class_names, squash=squash)
    if arguments:
        raise UserError("give images or a dataset (--dataset, --split), not both.")
    settings = dataclasses.replace(
        config.data,
        name=dataset or config.data.name,
        data_dir=data_dir or config.data.data_dir,
        label="label" if dataset else config.data.label,
        damaged="skip",
    )
    return Pictures(open_source(settings, split or config.data.eval_split))


def find(arguments: Sequence[str | Path]) -> list[Path]:
    """The files that arguments of a command line mean, in their order.

    A folder means all images below it, sorted; "-" a list on the standard input, one a
    line.

    Raises:
        UserError: there is no file among them.
    """
    found = [path for argument in arguments for path in _meant(argument)]
    if not found:
        given = ", ".join(map(str, arguments))
        raise UserError(
            f"no images{given and f' in {given}'}: name image files, folders of them, "
            "or - for a list on the standard input."
        )
    return found


def _meant(argument: str | Path) -> Iterator[Path]:
    if argument == STANDARD_INPUT:
        lines = (line.strip() for line in sys.stdin)
        yield from (Path(line) for line in lines if line)
    elif Path(argument).is_dir():
        known = photographs.suffixes()
        below = Path(argument).rglob("*")
        yield from sorted(path for path in below if path.suffix.lower() in known)
    else:
        yield Path(argument)


def open_pictures(
    pictures: Sequence[Picture],
    size: int,
    class_names: list[str] | None = None,
    *,
    squash: bool = False,
) -> Pictures:
    """A source of pictures, uint8 `[size, size, 3]`, RGB 0-255.

    Args:
        pictures: see `photographs.read_into`.
        class_names: where given, the label of a file is the folder that it lies in;
            otherwise pictures have none.
        squash: see `photographs.read_into`.
    """
    reasons: dict[int, str] = {}
    labels = _labels(pictures, class_names)

    def fetch(index: int, out: np.ndarray) -> int:
        try:
            photographs.read_into(pictures[index], out, squash=squash)
        except (ValueError, OSError) as error:
            reasons[index] = getattr(error, "strerror", None) or str(error)
            raise
        return int(labels[index])

    source = Source(
        name="pictures",
        split="all",
        num_examples=len(pictures),
        class_names=class_names,
        image_size=size,
        fingerprint="",
        directory=Path(),
        records=[{"file_name": _name(i, one)} for i, one in enumerate(pictures)],
        fetch=fetch,
        skip_damaged=True,
    )
    return Pictures(source, reasons)


def _name(index: int, picture: Picture) -> str:
    return str(picture) if isinstance(picture, str | Path) else str(index)


def _labels(pictures: Sequence[Picture], class_names: list[str] | None) -> np.ndarray:
    if class_names is None:
        return np.full(len(pictures), -1)
    place = {name: label for label, name in enumerate(class_names)}
    return np.array([place.get(Path(one).parent.name, -1) for one in pictures])


def refuse_problems(pictures: Pictures) -> None:
    """Raises UserError that names each picture that could not be read, and why."""
    problems = pictures.problems()
    if problems:
        lines = [f"{key}: {problem}" for key, problem in problems.items()]
        raise UserError("images that cannot be read:\n" + "\n".join(lines))
