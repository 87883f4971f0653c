"""How a configuration fits a dataset, and the options that make it fit."""

import shlex
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from alexnet_jax.config import Config
from alexnet_jax.data import class_folders, digits, tfds_records
from alexnet_jax.errors import UserError
from alexnet_jax.system.streams import printable


class Facts(NamedTuple):
    """What a configuration has to fit."""

    splits: Collection[str]
    num_examples: Callable[[str], int]
    """Of a split, or of an expression for one."""
    num_classes: int | None
    side: int | None
    """Pixels per side, if all images are squares of one size."""


def of_dataset(info: Any, label: str) -> Facts:
    """The facts of a prepared dataset."""
    return Facts(
        splits=tuple(info.splits),
        num_examples=lambda split: info.splits[split].num_examples,
        num_classes=info.features[label].num_classes,
        side=info.features["image"].shape[0],
    )


def _facts(config: Config) -> Facts:
    data = config.data
    if data.folder is not None:
        if data.stored == "raw":
            raise UserError(f"--data.stored raw: {data.folder} has no raw pixels.")
        tree = class_folders.for_training(data)
        classes = len(tree.class_names)
        return Facts(tree.splits, lambda name: len(tree.files(name)), classes, None)
    data_dir = tfds_records.directory_of(data.data_dir)
    if data.name == "digits":
        digits.prepare(data_dir)
    info = tfds_records.find_builder(data.name, data_dir).info
    tfds_records.check_features(info, data.label)
    return of_dataset(info, data.label)


def check(config: Config) -> None:
    """Raises one UserError for all that does not fit: splits, batch, classes, image
    size.

    Images of another size are scaled, so that only raw pixels need the same size.
    """
    facts = _facts(config)
    if problems := _problems(config, facts):
        text = f"dataset {config.data.name} does not fit: {'; '.join(problems)}"
        options = shlex.join(fitting_options(config, facts))
        raise UserError(printable(f"{text}. Options that fit: {options}"))


def fitting_options(config: Config, facts: Facts) -> list[str]:
    """The options of training that adapt a configuration to a dataset, in pairs."""
    return [
        word
        for option, value, wanted in _differences(config, facts)
        if value != wanted
        for word in (option, str(wanted))
    ]


def _problems(config: Config, facts: Facts) -> list[str]:
    problems = []
    for split in (config.data.train_split, config.data.eval_split):
        if not _exists(split, facts):
            problems.append(
                f"it has no split {split!r}, its splits are {', '.join(facts.splits)}"
            )
    size = _num_examples(config, facts)
    if size is not None and config.batch_size > size:
        problems.append(
            f"a batch of {config.batch_size} is larger than the {size} images of "
            f"{config.data.train_split!r}"
        )
    classes = facts.num_classes
    if classes is not None and classes > config.model.num_classes:
        outputs = config.model.num_classes
        problems.append(f"it has {classes} classes and the network {outputs}")
    if (side := _raw_side(config, facts)) != config.data.image_size:
        problems.append(
            f"its raw pixels are {side} x {side}, not --data.image-size "
            f"{config.data.image_size}"
        )
    return problems


def _differences(config: Config, facts: Facts) -> list[tuple[str, Any, Any]]:
    """Option, value and fitting value."""
    train_split, eval_split = _fitting_splits(config, facts)
    classes = facts.num_classes
    side = _raw_side(config, facts)
    crop = config.augment.crop_size
    outputs = config.model.num_classes
    batch = config.batch_size
    return [
        ("--batch-size", batch, _fitting_batch(config, facts)),
        ("--data.train-split", config.data.train_split, train_split),
        ("--data.eval-split", config.data.eval_split, eval_split),
        ("--model.fc8.features", outputs, classes or outputs),
        ("--data.image-size", config.data.image_size, side),
        ("--augment.crop-size", crop, crop if crop <= side else side),
    ]


def _num_examples(config: Config, facts: Facts) -> int | None:
    """Size of the training split; None if there is no such split."""
    split = config.data.train_split
    return facts.num_examples(split) if _exists(split, facts) else None


def _fitting_batch(config: Config, facts: Facts) -> int:
    """The batch size, or the largest power of two that the training split can fill."""
    size = _num_examples(config, facts)
    if size is None or config.batch_size <= size:
        return config.batch_size
    return 2 ** (max(size, 1).bit_length() - 1)


def _exists(split: str, facts: Facts) -> bool:
    """True if the dataset has the splits of an expression, "train[:10%]+test"."""
    names = {part.split("[")[0].strip() for part in split.split("+")}
    return names <= {*facts.splits, "all"}


def _fitting_splits(config: Config, facts: Facts) -> tuple[str, str]:
    """Those of the configuration where they exist; a training set that stands alone is
    divided, since `prepare` and tfds have shuffled it."""
    train_split, eval_split = config.data.train_split, config.data.eval_split
    if not _exists(train_split, facts):
        train_split = "train" if "train" in facts.splits else next(iter(facts.splits))
    if _exists(eval_split, facts):
        return train_split, eval_split
    for name in ("validation", "test"):
        if name in facts.splits:
            return train_split, name
    return f"{train_split}[:90%]", f"{train_split}[90%:]"


def _raw_side(config: Config, facts: Facts) -> int:
    """The image size that the configuration must have: that of raw pixels, or its own,
    since all other images are scaled."""
    side = facts.side
    if config.data.stored == "raw" and side is not None:
        return side
    return config.data.image_size
