"""Writes activations of named layers to a file."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from alexnet_jax.data import user_images
from alexnet_jax.data.source import Source
from alexnet_jax.errors import UserError
from alexnet_jax.inference import activations, feature_files, trained_model
from alexnet_jax.inference.trained_model import Model
from alexnet_jax.system.progress import ImageCounter


def extract_features(
    model: Model | str | Path,
    images: Sequence[str | Path] = (),
    *,
    layers: str | Sequence[str],
    output: str | Path,
    dataset: str | None = None,
    split: str | None = None,
    data_dir: str | None = None,
    class_folders: bool = False,
    batch_size: int | None = None,
    num_workers: int | None = None,
) -> dict[str, str]:
    """Writes activations of the centre view of images to a file.

    Memory does not grow with the number of images. `feature_files` describes the file;
    `numpy.load` and h5py read it.

    Args:
        model: a loaded network, or its run directory or weights file.
        images: files, and folders with all images below them.
        layers: see `Model.features`.
        output: ends in .npz or .h5.
        dataset, split, data_dir: a tfds dataset to read instead of files. None means
            that of the run.
        class_folders: True if the name of a file's folder is its class.
        batch_size, num_workers: images at a time, and decoding threads.

    Returns:
        The reason for each unreadable image, which is left out, by file or key.

    Raises:
        UserError: the run, layer or dataset does not exist, there is nothing to read,
            or the output cannot be written.
    """
    output = Path(output)
    feature_files.check_output(output)
    model = model if isinstance(model, Model) else trained_model.load(model)
    files = user_images.find(images) if images else []
    folders = sorted({path.parent.name for path in files})
    source = user_images.open_inputs(
        model.network.config,
        files,
        dataset=dataset,
        split=split,
        data_dir=data_dir,
        class_names=folders if class_folders else None,
    )
    _extract(model, source, layers, output, batch_size, num_workers)
    return source.problems()


def _extract(
    model: Model,
    source: Source,
    layers: str | Sequence[str],
    output: Path,
    batch_size: int | None,
    num_workers: int | None,
) -> None:
    stages = model.stages(layers)
    if not stages:
        raise UserError("name a layer, for example fc7.")
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
            raise UserError("none of the images can be read: nothing is written.")
        beside = {
            "key": feature_files.names(keys),
            "label": np.concatenate(labels),
            "class_names": feature_files.names(source.class_names),
            "stages": feature_files.names(list(stages.values())),
        }
        writer.finish(beside)
