"""Writes the raw pixels of a prepared dataset beside its records."""

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.config import DataConfig
from alexnet_jax.data import loader, raw_pixels, tfds_records
from alexnet_jax.data.source import Source, open_source
from alexnet_jax.preparation.working_folder import building

_CHUNK = 256  # images decoded at a time


def write_raw(
    name: str,
    data_dir: Path,
    num_workers: int | None,
    count: Callable[[str, int, int], Any],
) -> None:
    """Decodes each record once; resumes after the last complete shard.

    Args:
        count: `count(split, images, done)` returns a counter with `add` and `close`.
    """
    builder = tfds_records.find_builder(name, data_dir)
    final = Path(builder.data_path) / raw_pixels.FOLDER
    if final.exists():
        return
    working = final.with_name(f".{raw_pixels.FOLDER}.partial")
    size = builder.info.features["image"].shape[0]
    settings = DataConfig(
        name=name, data_dir=str(data_dir), image_size=size, stored="records"
    )
    with building(final, working) as folder:
        for split, info in builder.info.splits.items():
            source = open_source(settings, split)
            counter = count(f"raw {split}", source.num_examples, 0)
            with contextlib.closing(counter):
                _write_split(folder, info, source, num_workers, counter)


def _write_split(
    folder: Path, info: Any, source: Source, num_workers: int | None, counter: Any
) -> None:
    bounds = raw_pixels.shard_bounds(info.shard_lengths)
    for record_path, (begin, end) in zip(info.filepaths, bounds, strict=True):
        path = folder / Path(record_path).name
        if path.exists():
            counter.add(end - begin)
            continue
        pixels = _decoded(source, begin, end, num_workers, counter)
        with contextlib.closing(pixels):
            raw_pixels.write_shard(path, pixels)


def _decoded(
    source: Source, begin: int, end: int, num_workers: int | None, counter: Any
) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
    parts = (np.arange(i, min(i + _CHUNK, end)) for i in range(begin, end, _CHUNK))

    def read(indices: np.ndarray, pool: Any) -> tuple[np.ndarray, np.ndarray]:
        return loader.read_rows(source, indices, pool)

    with contextlib.closing(loader.ahead(read, parts, num_workers)) as batches:
        for image, label in batches:
            counter.add(len(label))
            yield image, label
