"""Writes a tfds dataset as ArrayRecord, shard by shard, and its statistics."""

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from alexnet_jax.data import image_statistics, tfds_records
from alexnet_jax.data.source import fingerprint
from alexnet_jax.errors import UserError
from alexnet_jax.preparation.conversion import Chunk, convert
from alexnet_jax.preparation.journal import Journal, open_journal, refuse_other
from alexnet_jax.preparation.source_images import Form, Kept, Originals, Split
from alexnet_jax.preparation.working_folder import building, is_complete
from alexnet_jax.system import atomic_files, threads
from alexnet_jax.system.progress import ImageCounter
from alexnet_jax.system.streams import printable

VERSION = "1.0.0"
REPORT = "preparation.json"
_SHARD = 5000  # images; about 200 MB at 256 x 256
_CHUNK = 16  # images that a thread converts at a time
_SEED = 0
# One record per group, for random access. JPEGs gain nothing from compression.
_RECORDS = "group_size:1,uncompressed"


def write_dataset(
    originals: Originals,
    name: str,
    data_dir: Path,
    form: Form | Kept,
    *,
    num_workers: int | None,
    max_unreadable: int,
) -> None:
    """Writes the dataset, resuming if part of it exists.

    The training split is shuffled once; the others keep their order.

    Raises:
        UserError: another process is writing it, it was started with other settings, or
            too many images are unreadable.
    """
    final = data_dir / name / VERSION
    settings = _settings(originals, form)
    if is_complete(final):
        refuse_other(final, read_report(final)["settings"], settings)
        return
    with building(final) as folder:
        splits = list(originals.splits)
        journal = open_journal(folder.parent, settings, splits, form.image_size)
        features = tfds_records.image_features(
            originals.class_names,
            (form.image_size, form.image_size, form.channels),
            encoding=form.encoding,
            key=form.key,
        )
        serialize = tfds_records.serializer(features)
        job = _Job(name, folder, form, serialize, journal, num_workers, max_unreadable)
        for split_name, split in originals.splits.items():
            _write_split(job, split_name, split)
        _finish(folder, name, originals, features, journal)


def read_report(directory: Path) -> dict[str, Any]:
    """The report of the preparation of a dataset, from its directory.

    Raises:
        UserError: it was not prepared by this package.
    """
    path = directory / REPORT
    report = atomic_files.read_json(path) if path.exists() else {}
    if not {"settings", "remarks", "unreadable"} <= set(report):
        raise UserError(f"{directory} was not prepared by alexnet_jax.prepare.")
    return report


class _Job(NamedTuple):
    name: str
    folder: Path
    form: Form | Kept
    serialize: Callable[[dict[str, Any]], bytes]
    journal: Journal
    num_workers: int | None
    max_unreadable: int


def _write_split(job: _Job, name: str, split: Split) -> None:
    """Writes the shards that are not yet in the journal."""
    progress = job.journal.splits[name]
    num_shards = -(-split.num_images // _SHARD)
    first = len(progress.shard_lengths)
    shards = np.array_split(_order(name, split), num_shards)[first:]
    tasks = (s[i : i + _CHUNK] for s in shards for i in range(0, len(s), _CHUNK))
    workers = threads.count(job.num_workers)
    converted = threads.in_order(
        lambda indices: convert(split, indices, job.form, job.serialize),
        tasks,
        workers=workers,
        depth=4 * workers,
        name="convert",
    )
    counter = ImageCounter(name, split.num_images, progress.num_originals)
    with contextlib.closing(counter), contextlib.closing(converted):
        for number, shard in enumerate(shards, start=first):
            chunks = []
            for chunk in itertools.islice(converted, -(-len(shard) // _CHUNK)):
                counter.add(chunk.num_originals)
                chunks.append(chunk)
            suffix = f"array_record-{number:05d}-of-{num_shards:05d}"
            path = job.folder / f"{job.name}-{name}.{suffix}"
            _write_shard(path, itertools.chain(*(chunk.examples for chunk in chunks)))
            _note(job.journal, name, chunks, path.stat().st_size)
            _refuse_unreadable(job.journal, job.max_unreadable)
            job.journal.save(job.folder.parent)


def _order(name: str, split: Split) -> np.ndarray:
    if name != "train":
        return np.arange(split.num_images)
    return np.random.Generator(np.random.Philox(_SEED)).permutation(split.num_images)


def _settings(originals: Originals, form: Form | Kept) -> dict[str, Any]:
    images = {name: split.num_images for name, split in originals.splits.items()}
    return dataclasses.asdict(form) | {
        "source": originals.name,
        "images": images,
        "classes": len(originals.class_names),
        "seed": _SEED,
    }


def _write_shard(path: Path, examples: Iterable[bytes]) -> None:
    """Writes the whole shard or nothing."""
    with atomic_files.replacing(path) as partial:
        writer = ArrayRecordWriter(os.fspath(partial), _RECORDS)
        for example in examples:
            writer.write(example)
        writer.close()


def _note(journal: Journal, split: str, chunks: list[Chunk], num_bytes: int) -> None:
    progress = journal.splits[split]
    progress.shard_lengths.append(sum(len(chunk.examples) for chunk in chunks))
    progress.num_bytes += num_bytes
    progress.num_originals += sum(chunk.num_originals for chunk in chunks)
    for chunk in chunks:
        progress.unreadable += chunk.unreadable
        if split == "train":
            journal.sums += chunk.sums


def _refuse_unreadable(journal: Journal, limit: int) -> None:
    bad = [line for split in journal.splits.values() for line in split.unreadable]
    if len(bad) > limit:
        listed = "\n  ".join(map(printable, bad[:20]))
        raise UserError(
            f"{len(bad)} images could not be read, more than --max-unreadable {limit}:"
            f"\n  {listed}\nThe same command with a higher limit resumes."
        )


def _finish(
    folder: Path, name: str, originals: Originals, features: Any, journal: Journal
) -> None:
    """Writes metadata, statistics and report beside the shards."""
    for split, progress in journal.splits.items():
        if not sum(progress.shard_lengths):
            raise UserError(
                f"no image of split {split} could be read: {progress.unreadable[:5]}"
            )
    lengths = {n: (p.shard_lengths, p.num_bytes) for n, p in journal.splits.items()}
    info = tfds_records.write_metadata(folder, name, VERSION, features, lengths)
    if journal.sums.num_images:
        size = journal.settings["image_size"]
        image_statistics.save(
            folder / image_statistics.FILE,
            journal.sums.statistics(),
            fingerprint(info, "train", journal.sums.num_images, size),
        )
    report = {
        "settings": journal.settings,
        "remarks": originals.remarks,
        "unreadable": {n: p.unreadable for n, p in journal.splits.items()},
    }
    atomic_files.write_json(folder / REPORT, report)
