"""Prepared tfds datasets: finding one, opening its records. Nothing is downloaded."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import (
    constants,
    example_serializer,
    read_only_builder,
)

from alexnet_jax.errors import UserError


def directory_of(data_dir: str | None) -> Path:
    """The tfds data directory of that name; by default tfds's own."""
    return Path(data_dir or constants.DATA_DIR).expanduser()


def find_builder(name: str, data_dir: Path) -> Any:
    """The prepared dataset of that name ("name", "name/config", "name:1.0.0").

    Raises:
        UserError: it is not there; the message says what is.
    """
    try:
        return read_only_builder.builder_from_files(name, data_dir=str(data_dir))
    except ValueError as error:  # not there, or no name that tfds can read
        there = sorted(
            path.name
            for path in (data_dir.iterdir() if data_dir.is_dir() else [])
            if path.is_dir() and path.name != "downloads"
        )
        raise UserError(
            f"there is no prepared dataset {name!r} in {data_dir} (there: "
            f"{', '.join(there) or 'nothing'}). Name another directory "
            "(--data.data-dir in training, else --data-dir), or prepare it: "
            "python -m alexnet_jax.prepare --help."
        ) from error


def check_features(info: Any, label: str = "label") -> None:
    """Raises UserError unless a dataset has an image and a class."""
    needed = {"image": tfds.features.Image, label: tfds.features.ClassLabel}
    there = [f"{key} ({type(value).__name__})" for key, value in info.features.items()]
    for name, kind in needed.items():
        if name not in info.features or not isinstance(info.features[name], kind):
            raise UserError(
                f"dataset {info.full_name} has no feature {name!r} of type "
                f"{kind.__name__}: its features are {', '.join(there)}."
            )


def open_records(builder: Any, split: str) -> Sequence[dict[str, Any]]:
    """The examples of a split, or of tfds's expression for one; images stay encoded.

    Raises:
        UserError: there is no such split, or the format has no random access.
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
    """The text of a file that comes with tfds."""
    return tfds.core.tfds_path(path).read_text()


def image_features(class_names: list[str], image_size: int) -> Any:
    """Features of square JPEG images with a class and a file name, as tfds's own
    ImageNet has them."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(
                shape=(image_size, image_size, 3), encoding_format="jpeg"
            ),
            "label": tfds.features.ClassLabel(names=class_names),
            "file_name": tfds.features.Text(),
        }
    )


def serializer(features: Any) -> Callable[[dict[str, Any]], bytes]:
    """Makes a record of an example, always the same bytes of the same example."""
    examples = example_serializer.ExampleSerializer(features.get_serialized_info())

    def serialize(example: dict[str, Any]) -> bytes:
        parsed: Any = examples.get_tf_example(features.encode_example(example))
        # Without this, the order of the features changes from process to process.
        return parsed.SerializeToString(deterministic=True)

    return serialize


def write_metadata(
    folder: Any,
    name: str,
    version: str,
    features: Any,
    splits: dict[str, tuple[list[int], int]],
) -> Any:
    """Makes a folder of ArrayRecord shards a tfds dataset; returns its description.

    Args:
        splits: of each split the lengths of its shards and its bytes.
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
        check_data=False,  # that would need TensorFlow
        description="Images scaled (shorter side) and cropped to one size.",
        supervised_keys=("image", "label"),
    )
    return read_only_builder.builder_from_directory(folder).info
