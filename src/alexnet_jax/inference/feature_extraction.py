"""Writes activations of named layers to a file."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np

from alexnet_jax.config import MeshConfig
from alexnet_jax.data import label_files, picture_lists, user_images
from alexnet_jax.data.picture_lists import Picture
from alexnet_jax.data.source import Source
from alexnet_jax.errors import UserError
from alexnet_jax.inference import activations, feature_files, trained_model
from alexnet_jax.inference.trained_model import Model, is_of_crops
from alexnet_jax.system.progress import ImageCounter


def extract_features(
    model: Model | str | Path,
    images: Picture | Sequence[Picture] = (),
    *,
    layers: str | Sequence[str],
    output: str | Path,
    dataset: str | None = None,
    split: str | None = None,
    data_dir: str | None = None,
    class_folders: bool = False,
    labels: str | Path | None = None,
    views: Literal[1, "crop"] = 1,
    checkpoint: str = "newest",
    mesh: MeshConfig | None = None,
    batch_size: int | None = None,
    num_workers: int | None = None,
) -> dict[str, str]:
    """Writes activations of one view of images to a file, which `feature_files`
    describes; memory does not grow with the number of images.

    Args:
        model: a loaded network, or its run directory or weights file.
        images: one or several: files, folders with all images below them, or arrays.
        layers, views: see `Model.features`.
        output: ends in .npz or .h5.
        dataset, split, data_dir: a tfds dataset to read instead of files.
        class_folders: True if the name of a file's folder is its class.
        labels: a CSV file with the classes of the images; see `label_files`.
        checkpoint, mesh: see `load`; for a model that is not loaded yet.
        batch_size, num_workers: images at a time, and decoding threads.

    Returns:
        The reason for each unreadable image, which is left out, by file or key.

    Raises:
        UserError: something named does not exist, the labels do not fit the images, no
            image can be read, or the output cannot be written.
    """
    output = Path(output)
    feature_files.check_output(output)
    named: Any = {"dataset": dataset, "split": split, "data_dir": data_dir}
    named["crops"] = is_of_crops(views)
    pictures, named["labels"] = _labelled(images, class_folders, labels)
    if not isinstance(model, Model):
        model = trained_model.load(model, checkpoint=checkpoint, mesh=mesh)
    source = user_images.open_inputs(model.network.config, pictures, **named)
    _extract(model, source, layers, output, batch_size, num_workers)
    return source.problems()


def _labelled(
    images: Picture | Sequence[Picture],
    class_folders: bool,
    table: str | Path | None,
) -> tuple[list[Picture], list[str] | None]:
    """The pictures, and their class names if anything tells them."""
    pictures = picture_lists.listed(images)
    pictures = picture_lists.find(pictures) if pictures else []
    keys = picture_lists.keys(pictures)
    if class_folders and table is not None:
        raise UserError("labels come from --class-folders or --labels: choose one.")
    if table is not None and not pictures:
        raise UserError(f"--labels {table} is for image files, and none are named.")
    if table is not None:
        return pictures, label_files.labels_of(keys, Path(table))
    return pictures, [Path(key).parent.name for key in keys] if class_folders else None


def _extract(
    model: Model,
    source: Source,
    layers: str | Sequence[str],
    output: Path,
    batch_size: int | None,
    num_workers: int | None,
) -> None:
    stages = model.stages(layers)
    parts = model.each_batch(
        activations.activations,
        source,
        batch_size=batch_size,
        num_workers=num_workers,
        stages=tuple(stages.values()),
    )
    keys, labels = [], []
    counter = ImageCounter("features", source.num_examples)
    writer = feature_files.open_writer(output)
    with closing(parts), closing(writer), closing(counter):
        for part in parts:
            indices = part.start + np.arange(len(part.label))
            good = np.array([int(i) not in source.skipped for i in indices])
            writer.append({name: part.output[stages[name]][good] for name in stages})
            keys += [source.key(int(index)) for index in indices[good]]
            labels.append(part.label[good])
            counter.add(len(indices))
        if not keys:
            key, reason = next(iter(source.problems().items()))
            raise UserError(
                "none of the images can be read, so nothing is written; the first is "
                f"{key}: {reason}"
            )
        beside = {
            "key": feature_files.names(keys),
            "label": np.concatenate(labels),
            "class_names": feature_files.names(source.class_names),
            "stages": feature_files.names(list(stages.values())),
        }
        writer.finish(beside)
