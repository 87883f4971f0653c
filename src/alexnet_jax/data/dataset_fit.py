"""How a configuration fits a dataset, and the options that make it fit."""

import shlex
from typing import Any

from alexnet_jax.config import Config
from alexnet_jax.data import digits, tfds_records
from alexnet_jax.errors import UserError
from alexnet_jax.system.streams import printable


def check(config: Config) -> None:
    """Raises one UserError for all that does not fit: splits, batch, classes, image
    size.

    Images of another size are scaled, so that only raw pixels need the same size.
    """
    data_dir = tfds_records.directory_of(config.data.data_dir)
    if config.data.name == "digits":
        digits.prepare(data_dir)
    info = tfds_records.find_builder(config.data.name, data_dir).info
    tfds_records.check_features(info, config.data.label)
    if problems := _problems(config, info):
        text = f"dataset {config.data.name} does not fit: {'; '.join(problems)}"
        options = shlex.join(fitting_options(config, info))
        raise UserError(printable(f"{text}. Options that fit: {options}"))


def fitting_options(config: Config, info: Any) -> list[str]:
    """The options of training that adapt a configuration to a dataset, in pairs."""
    return [
        word
        for option, value, wanted in _differences(config, info)
        if value != wanted
        for word in (option, str(wanted))
    ]


def _problems(config: Config, info: Any) -> list[str]:
    problems = []
    for split in (config.data.train_split, config.data.eval_split):
        if not _exists(split, info):
            problems.append(
                f"it has no split {split!r}, its splits are {', '.join(info.splits)}"
            )
    size = _num_examples(config, info)
    if size is not None and config.batch_size > size:
        problems.append(
            f"a batch of {config.batch_size} is larger than the {size} images of "
            f"{config.data.train_split!r}"
        )
    classes = info.features[config.data.label].num_classes
    if classes is not None and classes > config.model.num_classes:
        outputs = config.model.num_classes
        problems.append(f"it has {classes} classes and the network {outputs}")
    if (side := _raw_side(config, info)) != config.data.image_size:
        problems.append(
            f"its raw pixels are {side} x {side}, not --data.image-size "
            f"{config.data.image_size}"
        )
    return problems


def _differences(config: Config, info: Any) -> list[tuple[str, Any, Any]]:
    """Option, value and fitting value."""
    train_split, eval_split = _fitting_splits(config, info)
    classes = info.features[config.data.label].num_classes
    side = _raw_side(config, info)
    crop = config.augment.crop_size
    outputs = config.model.num_classes
    batch = config.batch_size
    return [
        ("--batch-size", batch, _fitting_batch(config, info)),
        ("--data.train-split", config.data.train_split, train_split),
        ("--data.eval-split", config.data.eval_split, eval_split),
        ("--model.fc8.features", outputs, classes or outputs),
        ("--data.image-size", config.data.image_size, side),
        ("--augment.crop-size", crop, crop if crop <= side else side),
    ]


def _num_examples(config: Config, info: Any) -> int | None:
    """Size of the training split; None if there is no such split."""
    split = config.data.train_split
    return info.splits[split].num_examples if _exists(split, info) else None


def _fitting_batch(config: Config, info: Any) -> int:
    """The batch size, or the largest power of two that the training split can fill."""
    size = _num_examples(config, info)
    if size is None or config.batch_size <= size:
        return config.batch_size
    return 2 ** (max(size, 1).bit_length() - 1)


def _exists(split: str, info: Any) -> bool:
    """True if the dataset has the splits of an expression, "train[:10%]+test"."""
    names = {part.split("[")[0].strip() for part in split.split("+")}
    return names <= {*info.splits, "all"}


def _fitting_splits(config: Config, info: Any) -> tuple[str, str]:
    """Those of the configuration where they exist; a training set that stands alone is
    divided, since `prepare` and tfds have shuffled it."""
    train_split, eval_split = config.data.train_split, config.data.eval_split
    if not _exists(train_split, info):
        train_split = "train" if "train" in info.splits else next(iter(info.splits))
    if _exists(eval_split, info):
        return train_split, eval_split
    for name in ("validation", "test"):
        if name in info.splits:
            return train_split, name
    return f"{train_split}[:90%]", f"{train_split}[90%:]"


def _raw_side(config: Config, info: Any) -> int:
    """The image size that the configuration must have: that of raw pixels, or its own,
    since all other images are scaled."""
    side = info.features["image"].shape[0]
    if config.data.stored == "raw" and side is not None:
        return side
    return config.data.image_size
