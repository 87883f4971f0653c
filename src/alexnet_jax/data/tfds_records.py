"""Finds prepared tfds datasets and opens their records. Nothing is downloaded."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import (
    constants,
    example_serializer,
    read_only_builder,
    registered,
)

from alexnet_jax.errors import UserError
from alexnet_jax.system.streams import printable

_NAME = re.compile(r"(?P<dataset>[A-Za-z]\w*)(/[\w.+-]+)?(:\d+\.\d+\.\d+)?")


def directory_of(data_dir: str | None) -> Path:
    """The tfds data directory; None means the default of tfds.

    Raises:
        UserError: its path is not UTF-8, which ArrayRecord cannot open.
    """
    path = str(Path(data_dir or constants.DATA_DIR).expanduser())
    if path.encode(errors="replace").decode() != path:
        raise UserError(f"--data-dir {printable(path)} is not UTF-8: use another.")
    return Path(path)


def find_builder(name: str, data_dir: Path) -> Any:
    """The prepared dataset of that name ("name", "name/config", "name:1.0.0").

    Raises:
        UserError: it does not exist, and the message lists what does; or its metadata
            cannot be read.
    """
    try:
        return read_only_builder.builder_from_files(name, data_dir=str(data_dir))
    except Exception as error:  # the parsers of tfds and protobuf have their own
        parts = _NAME.fullmatch(name)
        exists = parts is not None and (data_dir / parts["dataset"]).is_dir()
        if exists and not isinstance(error, registered.DatasetNotFoundError):
            raise UserError(
                f"dataset {name!r} in {data_dir}: its dataset_info.json or "
                f"features.json cannot be read ({error}). Restore them, or delete the "
                "dataset and prepare it again."
            ) from error
        folders = sorted(path.name for path in data_dir.glob("*") if path.is_dir())
        available = printable(", ".join(n for n in folders if n != "downloads"))
        raise UserError(
            f"there is no prepared dataset {name!r} in {data_dir} "
            f"(available: {available or 'nothing'}). Name another directory "
            "(--data.data-dir in training, else --data-dir), or prepare it: "
            "python -m alexnet_jax.prepare --help."
        ) from error


def check_features(info: Any, label: str = "label") -> None:
    """Raises UserError unless a dataset has an image and a class label."""
    needed = {"image": tfds.features.Image, label: tfds.features.ClassLabel}
    types = [f"{key} ({type(value).__name__})" for key, value in info.features.items()]
    for name, kind in needed.items():
        if name not in info.features or not isinstance(info.features[name], kind):
            raise UserError(
                f"dataset {info.full_name} has no feature {name!r} of type "
                f"{kind.__name__}: its features are {', '.join(types)}."
            )


def open_records(builder: Any, split: str) -> Sequence[dict[str, Any]]:
    """The examples of a split, images still encoded.

    Args:
        split: a name, or an expression that tfds understands, "train[:10%]".

    Raises:
        UserError: the split does not exist, or the format has no random access.
    """
    info = builder.info
    try:
        return builder.as_data_source(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}
        )
    except (ValueError, KeyError) as error:
        raise UserError(
            f"dataset {info.full_name} has no split {split!r}: its splits are "
            f"{', '.join(info.splits)}."
        ) from error
    except NotImplementedError as error:
        raise UserError(
            f"dataset {info.full_name} is stored as {info.file_format.value}, which "
            "has no random access: convert it with python -m alexnet_jax.prepare "
            f"--source {info.name}."
        ) from error


def package_file(path: str) -> str:
    """The text of a file in the tfds package."""
    return tfds.core.tfds_path(path).read_text()


def image_features(
    class_names: list[str], shape: tuple[int, int, int], *, encoding: str, key: str
) -> Any:
    """Features of images of one shape, labels and names, as in tfds's ImageNet.

    Args:
        encoding: "jpeg" or "png".
        key: the feature with the name of an image.
    """
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=shape, encoding_format=encoding),
            "label": tfds.features.ClassLabel(names=class_names),
            key: tfds.features.Text(),
        }
    )


def serializer(features: Any) -> Callable[[dict[str, Any]], bytes]:
    """Returns a function that serialises an example, always to the same bytes."""
    examples = example_serializer.ExampleSerializer(features.get_serialized_info())

    def serialize(example: dict[str, Any]) -> bytes:
        parsed: Any = examples.get_tf_example(features.encode_example(example))
        # Otherwise the order of the features differs between processes.
        return parsed.SerializeToString(deterministic=True)

    return serialize


def write_metadata(
    folder: Any,
    name: str,
    version: str,
    features: Any,
    splits: dict[str, tuple[list[int], int]],
) -> Any:
    """Makes a folder of ArrayRecord shards a tfds dataset; returns its DatasetInfo.

    Args:
        splits: the shard lengths and the number of bytes of each split.
    """
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=lengths,
            num_bytes=num_bytes,
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=folder,
                dataset_name=name,
                split=split,
                filetype_suffix="array_record",
            ),
        )
        for split, (lengths, num_bytes) in splits.items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=infos,
        version=version,
        check_data=False,  # checking would need TensorFlow
        description="Images of one size.",
        supervised_keys=("image", "label"),
    )
    return read_only_builder.builder_from_directory(folder).info
