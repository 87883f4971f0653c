"""Activations of named layers, from images to a file."""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from alexnet_jax.data import user_images
from alexnet_jax.data.source import Source
from alexnet_jax.errors import UserError
from alexnet_jax.inference import activations, feature_files, trained_model
from alexnet_jax.inference.batched import Part
from alexnet_jax.inference.trained_model import Model
from alexnet_jax.system.progress import ImageCounter


def extract_features(
    model: Model | str | Path,
    images: Sequence[str | Path] = (),
    *,
    layers: Sequence[str],
    output: str | Path,
    dataset: str | None = None,
    split: str | None = None,
    data_dir: str | None = None,
    class_folders: bool = False,
    batch_size: int | None = None,
    num_workers: int | None = None,
) -> dict[str, str]:
    """Writes activations of the centre view of images into a file.

    Memory grows neither with the number of images nor with the size of the file.
    `feature_files` describes the file; `numpy.load` and h5py read it.

    Args:
        model: a loaded network, or its run directory or weights file.
        images: files and folders (all images below them).
        layers: see `Model.features`.
        output: ends in .npz or .h5.
        dataset, split, data_dir: a tfds set to look at instead of files; what is left
            out is as in the run.
        class_folders: whether the folder that a file lies in is the name of its class.
        batch_size, num_workers: images at a time and decoding threads.

    Returns:
        What could not be read and is left out: reasons by file or key.

    Raises:
        UserError: there is no such run, layer or set, nothing to read, or no place to
            write.
    """
    output = Path(output)
    feature_files.check_output(output)
    model = model if isinstance(model, Model) else trained_model.load(model)
    stages = {name: activations.find(name, model.layers()) for name in layers}
    files = user_images.find(images) if images else []
    source = user_images.open_inputs(
        model.network.config,
        files,
        dataset=dataset,
        split=split,
        data_dir=data_dir,
        class_names=_folders(files) if class_folders else None,
    )
    _extract(model, source, stages, output, batch_size, num_workers)
    return source.problems()


def _extract(
    model: Model,
    source: Source,
    stages: dict[str, str],
    output: Path,
    batch_size: int | None,
    num_workers: int | None,
) -> None:
    if not stages:
        raise UserError("name a layer: fc7, for example.")
    parts = model.each_batch(
        activations.activations,
        source,
        batch_size=batch_size,
        num_workers=num_workers,
        chosen=tuple(stages.values()),
    )
    with contextlib.closing(parts):
        _write(parts, source, stages, output)


def _folders(files: Sequence[Path]) -> list[str]:
    return sorted({path.parent.name for path in files})


def _write(
    parts: Iterable[Part],
    source: Source,
    stages: dict[str, str],
    output: Path,
) -> None:
    keys, labels = [], []
    counter = ImageCounter("features", source.num_examples)
    writer = feature_files.open_writer(output)
    with contextlib.closing(writer), contextlib.closing(counter):
        for part in parts:
            indices = part.start + np.arange(len(part.label))
            good = np.array([int(i) not in source.skipped for i in indices])
            writer.append({name: part.found[stages[name]][good] for name in stages})
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
