"""Writes the raw pixels of a prepared dataset beside its records."""

import contextlib
from collections.abc import Generator
from pathlib import Path

import numpy as np

from alexnet_jax.config import DataConfig
from alexnet_jax.data import raw_pixels, tfds_records
from alexnet_jax.data.source import Source, in_chunks, open_source
from alexnet_jax.preparation.working_folder import building, is_complete
from alexnet_jax.system.progress import ImageCounter


def write_raw(name: str, data_dir: Path, num_workers: int | None) -> None:
    """Decodes each record once; resumes after the last complete shard.

    Raises:
        UserError: the dataset does not exist, or another process is writing them.
    """
    builder = tfds_records.find_builder(name, data_dir)
    final = Path(builder.data_path) / raw_pixels.FOLDER
    if is_complete(final):
        return
    size = builder.info.features["image"].shape[0]
    settings = DataConfig(
        name=name, data_dir=str(data_dir), image_size=size, stored="records"
    )
    with building(final) as folder:
        for split, info in builder.info.splits.items():
            source = open_source(settings, split)
            paths = [folder / Path(path).name for path in info.filepaths]
            _write_split(source, paths, info.shard_lengths, num_workers)


def _write_split(
    source: Source, paths: list[Path], lengths: list[int], num_workers: int | None
) -> None:
    counter = ImageCounter(f"raw {source.split}", source.num_examples)
    with contextlib.closing(counter):
        begin = 0
        for path, length in zip(paths, lengths, strict=True):
            examples = range(begin, begin + length)
            begin += length
            if path.exists():
                counter.add(length)
                continue
            pixels = _decoded(source, examples, num_workers, counter)
            with contextlib.closing(pixels):
                raw_pixels.write_shard(path, pixels)


def _decoded(
    source: Source, examples: range, num_workers: int | None, counter: ImageCounter
) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
    chunks = in_chunks(source, lambda _, *chunk: chunk, num_workers, examples)
    with contextlib.closing(chunks):
        for image, label in chunks:
            counter.add(len(label))
            yield image, label
