"""Verifies a prepared dataset by reading every image again."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.config import DataConfig
from alexnet_jax.data import ilsvrc2012, image_statistics, raw_pixels, tfds_records
from alexnet_jax.data.source import Source, in_chunks, open_source
from alexnet_jax.preparation.write_dataset import read_report
from alexnet_jax.system.progress import ImageCounter

_EXPECTED = {
    "train": ilsvrc2012.TRAIN_IMAGES,
    "validation": ilsvrc2012.VALIDATION_IMAGES,
}


def summary(name: str, data_dir: Path) -> list[str]:
    """Describes a prepared dataset in lines, from the report of its preparation.

    Raises:
        UserError: the dataset does not exist or was not prepared by this package.
    """
    builder = tfds_records.find_builder(name, data_dir)
    directory = Path(builder.data_path)
    report = read_report(directory)
    lines = [f"{directory}: {report['settings']}"]
    for split, info in builder.info.splits.items():
        lines.append(f"{split}: {info.num_examples:,} images, {info.num_bytes:,} bytes")
    lines += [f"incomplete: {remark}" for remark in report["remarks"]]
    for split, left_out in report["unreadable"].items():
        lines += [f"left out of {split}: {line}" for line in left_out]
    return lines


def check(
    name: str, data_dir: Path, *, num_workers: int | None
) -> tuple[list[str], list[str]]:
    """Decodes every image and compares raw pixels and statistics with the records.

    Returns:
        Lines that describe the dataset, and one line per fault.

    Raises:
        UserError: the dataset does not exist or was not prepared by this package.
    """
    description, faults = summary(name, data_dir), []
    builder = tfds_records.find_builder(name, data_dir)
    directory = Path(builder.data_path)
    size = builder.info.features["image"].shape[0]
    settings = DataConfig(
        name=name,
        data_dir=str(data_dir),
        image_size=size,
        stored="records",
        damaged="skip",
    )
    for split in builder.info.splits:
        records, rows = open_source(settings, split), None
        if (directory / raw_pixels.FOLDER).exists():
            rows = raw_pixels.open_rows(builder, split, size)
        sums, labels, unequal = _read(records, rows, num_workers)
        description.append(_describe(split, labels, records, rows is not None))
        faults += [f"{split}: record {i} is damaged" for i in sorted(records.skipped)]
        faults += [f"{split}: raw pixels of record {i} differ" for i in unequal]
        if split == "train":
            lines, wrong = _compare_statistics(directory, sums)
            description += lines
            faults += wrong
    return description, faults


def _read(
    records: Source, rows: raw_pixels.Fetch | None, num_workers: int | None
) -> tuple[image_statistics.Sums, np.ndarray, np.ndarray]:
    """Sums and labels of all examples, and indices of those whose raw pixels differ."""

    def compare(indices: np.ndarray, image: np.ndarray, label: np.ndarray) -> Any:
        unequal = np.zeros(len(indices), bool)
        if rows is not None:
            raw = np.empty_like(image)
            read = [rows(int(i), out) for i, out in zip(indices, raw, strict=True)]
            unequal = (np.array(read) != label) | (raw != image).any(axis=(1, 2, 3))
        return image_statistics.sums_of(image[label >= 0]), label, indices[unequal]

    sums, labels, unequal = image_statistics.no_images(records.image_size), [], []
    counter = ImageCounter(f"check {records.split}", records.num_examples)
    chunks = in_chunks(records, compare, num_workers)
    with contextlib.closing(counter), contextlib.closing(chunks):
        for part, label, different in chunks:
            sums += part
            labels.append(label)
            unequal.append(different)
            counter.add(len(label))
    return sums, np.concatenate(labels), np.concatenate(unequal)


def _describe(split: str, labels: np.ndarray, records: Source, has_raw: bool) -> str:
    per_class = np.bincount(labels[labels >= 0], minlength=records.num_classes or 1)
    expected = _EXPECTED.get(split) if records.num_classes == 1000 else None
    of = f" of {expected:,}" if expected else ""
    return (
        f"{split}: {np.count_nonzero(labels >= 0):,}{of} images can be read, "
        f"{np.count_nonzero(per_class)} of {len(per_class)} classes, "
        f"{per_class.min()} to {per_class.max()} images each"
        + (", raw pixels compared" if has_raw else "")
    )


def _compare_statistics(
    directory: Path, sums: image_statistics.Sums
) -> tuple[list[str], list[str]]:
    written = image_statistics.load(directory / image_statistics.FILE)
    computed = sums.statistics()
    stddev, direction = image_statistics.principal_components(computed.covariance)
    red, green, blue = computed.mean_image.mean(axis=(0, 1))
    lines = [
        f"mean of red, green, blue: {red:.2f} {green:.2f} {blue:.2f}",
        "standard deviation along the principal components: "
        + " ".join(f"{value:.2f}" for value in stddev)
        + "; the first is "
        + " ".join(f"{value:.3f}" for value in direction[0]),
    ]
    same = np.array_equal(written.mean_image, computed.mean_image) and np.array_equal(
        written.covariance, computed.covariance
    )
    return lines, [] if same else [f"{image_statistics.FILE} does not match the images"]
