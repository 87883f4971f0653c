"""Images of users as a source of examples: files, folders, arrays.

They pass through the same loader as a dataset. An unreadable image does not stop the
others; `Source.skipped` holds the reason. `picture_reading` says how each is read.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alexnet_jax.config import Config
from alexnet_jax.data import decoding, picture_lists, picture_reading
from alexnet_jax.data.picture_lists import Picture
from alexnet_jax.data.source import Source, open_source
from alexnet_jax.errors import UserError
from alexnet_jax.system.streams import printable


def open_inputs(
    config: Config,
    arguments: Sequence[Picture],
    *,
    dataset: str | None,
    split: str | None,
    data_dir: str | None,
    labels: Sequence[str] | None = None,
    crops: bool = False,
) -> Source:
    """Opens the input of a command: files and folders, or a split of a dataset.

    Args:
        config: configuration of the network. It gives the image size, and the dataset
            or the split if only the other is given.
        labels: see `open_pictures`.
        crops: the images are exactly the network's crops, and are not scaled.

    Raises:
        UserError: neither or both are given, or the input does not exist.
    """
    if dataset is None and split is None:
        pictures = picture_lists.find(arguments)
        return open_pictures(
            pictures,
            input_size(config, crops),
            labels,
            squash=config.data.squash,
            bilinear=config.data.bilinear,
            exact=crops,
        )
    if arguments:
        raise UserError("give images or a dataset (--dataset, --split), not both.")
    settings = dataclasses.replace(
        config.data,
        name=dataset or config.data.name,
        folder=None if dataset else config.data.folder,
        data_dir=data_dir or config.data.data_dir,
        image_size=input_size(config, crops),
        label="label" if dataset else config.data.label,
        damaged="skip",
    )
    source = open_source(settings, split or config.data.eval_split)
    return _checked_crops(source) if crops else source


def input_size(config: Config, crops: bool) -> int:
    """Side of the images that go to the device: that of the crop if they are crops."""
    return config.augment.crop_size if crops else config.data.image_size


def _checked_crops(source: Source) -> Source:
    """The same source; an example that is not exactly of its size counts as damaged."""

    def fetch(index: int, out: np.ndarray) -> int:
        with decoding.opened(source.records[index]["image"]) as image:
            picture_reading.check_crop(image.height, image.width, source.image_size)
        return source.fetch(index, out)

    return dataclasses.replace(source, fetch=fetch)


def open_pictures(
    pictures: Sequence[Picture],
    size: int,
    labels: Sequence[str] | None = None,
    *,
    squash: bool = False,
    bilinear: bool = False,
    exact: bool = False,
) -> Source:
    """A source of pictures, uint8 `[size, size, 3]`, RGB 0-255.

    Args:
        pictures, squash, bilinear, exact: see `picture_reading.read_into`.
        labels: the class of each. None means that all labels are -1.
    """
    class_names = sorted(set(labels)) if labels else None
    label_of = {name: label for label, name in enumerate(class_names or [])}

    def fetch(index: int, out: np.ndarray) -> int:
        picture_reading.read_into(
            pictures[index], out, squash=squash, bilinear=bilinear, exact=exact
        )
        return label_of[labels[index]] if labels else -1

    return Source(
        name="pictures",
        split="all",
        num_examples=len(pictures),
        class_names=class_names,
        image_size=size,
        fingerprint="",
        directory=Path(),
        records=[{"file_name": key} for key in picture_lists.keys(pictures)],
        fetch=fetch,
        skip_damaged=True,
    )


def refuse_problems(source: Source) -> None:
    """Raises UserError if pictures could not be read; names each one and the reason."""
    problems = source.problems()
    if problems:
        lines = [printable(f"{key}: {text}") for key, text in problems.items()]
        raise UserError("images that cannot be read:\n" + "\n".join(lines))
