"""The command: python -m alexnet_jax.predict --workdir runs/ photo.jpg photos/

Prints the most probable classes of images.
"""

import contextlib
import csv
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import tyro

from alexnet_jax import command, config_checks
from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import UserError
from alexnet_jax.ranges import Positive, Threads
from alexnet_jax.system.streams import printable

# Slow imports come after the options are parsed.
if TYPE_CHECKING:
    from alexnet_jax.data.source import Source
    from alexnet_jax.inference.batched import Part
    from alexnet_jax.weights.network import Network

DESCRIPTION = """\
The most probable classes of images, best first.

Images may have any size: JPEG, PNG, GIF, BMP, WebP, TIFF, AVIF, JPEG 2000, PPM. Each is
scaled (shorter side) and cropped (centre) as in training's evaluation. An unreadable
one is reported on a line of its own and skipped."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command."""

    images: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE ...")
    ] = ()
    """Files, folders (all images below them), or - for a list on standard input."""
    workdir: Path
    """Run directory, weights file (.safetensors), or a network that comes with the
    package: digits or cifar10."""
    views: Literal[1, 10, "crop"] = 1
    """1: centre; 10: corners, centre and their mirror images, as in the paper; crop:
    the images are exactly the network's crops, and are neither scaled nor cropped."""
    best: Positive[int] = 5
    """Number of classes per image."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Prints one JSON object per line instead of the table."""
    csv: tyro.conf.FlagCreatePairsOff[bool] = False
    """Prints comma-separated values instead of the table."""
    dataset: str | None = None
    """tfds name of a dataset to read instead of files. None means that of the run."""
    split: str | None = None
    """Split of the dataset; alone, it reads the run's own dataset."""
    data_dir: str | None = None
    """The tfds data directory. None means that of the run."""
    checkpoint: str = "newest"
    """Checkpoint: newest, best (lowest error in training), or a step."""
    batch_size: Positive[int] | None = None
    """Images at a time, on all devices together. None means that of the run."""
    mesh: MeshConfig = MeshConfig()
    num_workers: Threads | None = None
    """Decoding threads. None means one per core."""


class Guess(NamedTuple):
    """One class of one image."""

    class_name: str
    """The dataset's name."""
    words: str
    """The readable name."""
    probability: float


class Answer(NamedTuple):
    """The guesses for one image, best first, or why it cannot be read."""

    image: str
    label: str | None
    """Its class; None if unknown."""
    guesses: list[Guess]
    problem: str | None


def answers(options: Options) -> Iterator[Answer]:
    """Loads the network, then yields answers image by image, in constant memory."""
    from alexnet_jax.data import user_images
    from alexnet_jax.inference import predictions, trained_model

    model = trained_model.load(
        options.workdir, checkpoint=options.checkpoint, mesh=options.mesh
    )
    if text := predictions.views_warning([model.network.config], options.views):
        print(f"note: {text}", file=sys.stderr)
    source = user_images.open_inputs(
        model.network.config,
        options.images,
        dataset=options.dataset,
        split=options.split,
        data_dir=options.data_dir,
        crops=options.views == "crop",
    )
    parts = model.each_batch(
        predictions.log_probabilities,
        source,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        num_views=10 if options.views == 10 else 1,
    )
    with contextlib.closing(parts):
        for part in parts:
            yield from _answers_of(part, source, model.network, options.best)


def _answers_of(
    part: "Part", source: "Source", network: "Network", best: int
) -> Iterator[Answer]:
    import numpy as np

    from alexnet_jax.data import class_names
    from alexnet_jax.inference import predictions

    words = class_names.readable(network.class_names, network.config.model.num_classes)
    names = network.class_names or words
    truth = class_names.readable(source.class_names, source.num_classes or 0)
    for index, row in enumerate(np.exp(part.output), start=part.start):
        problem = source.skipped.get(index)
        label = part.label[index - part.start]
        known = truth[label] if truth and label >= 0 else None
        places = [] if problem else predictions.top_classes(row, best)
        guesses = [Guess(names[i], words[i], float(row[i])) for i in places]
        yield Answer(source.key(index), known, guesses, problem)


def print_table(answer: Answer) -> None:
    label = f"  ({answer.label})" if answer.label else ""
    print(printable(f"{answer.image}{label}"))
    for guess in answer.guesses:
        print(f"  {guess.probability:7.2%}  {printable(guess.words)}")


def print_json(answer: Answer) -> None:
    names = ("class", "name", "probability")
    best = [dict(zip(names, guess, strict=True)) for guess in answer.guesses]
    print(json.dumps({"image": answer.image, "label": answer.label, "best": best}))


def print_csv(answer: Answer) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    # A file name that is not UTF-8 cannot be printed as it is.
    name = answer.image.encode(errors="backslashreplace").decode()
    for rank, guess in enumerate(answer.guesses, start=1):
        writer.writerow([name, answer.label, rank, *guess])


def run(options: Options) -> int:
    """Prints each answer at once; returns the number of unreadable images."""
    config_checks.check_ranges(options)
    if options.json and options.csv:
        raise UserError("--json and --csv: choose one.")
    show: Callable[[Answer], None] = print_table
    if options.json:
        show = print_json
    if options.csv:
        show = print_csv
        print("image,label,rank,class,name,probability")
    problems = 0
    for answer in answers(options):
        if answer.problem is None:
            show(answer)
        else:
            problems += 1
            print(printable(f"{answer.image}: {answer.problem}"), file=sys.stderr)
        sys.stdout.flush()
    return problems


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "alexnet_jax.predict", DESCRIPTION)
    return command.run(lambda: run(options) and command.FAULT, mesh=options.mesh)


if __name__ == "__main__":
    sys.exit(main())
