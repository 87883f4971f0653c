"""Mean image and RGB covariance of a training set (paper sections 2 and 4.1)."""

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alexnet_jax.data import decoding
from alexnet_jax.data.source import Source, in_chunks
from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files
from alexnet_jax.system.streams import print_line

FILE = "statistics.npz"


@dataclass(frozen=True)
class Statistics:
    """Training-set statistics used to normalise the input; pixels are on 0-255."""

    mean_image: np.ndarray
    """float32 `[size, size, 3]`, the mean of each pixel."""
    covariance: np.ndarray
    """float64 `[3, 3]`, of the RGB values of all pixels of all images."""


def principal_components(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations, largest first, and directions, one per row.

    The sign of a direction is chosen so that its largest entry is positive.

    Returns:
        float32 `[3]` on the 0-255 scale and float32 `[3, 3]`.
    """
    variance, directions = np.linalg.eigh(covariance)
    variance, directions = variance[::-1], directions.T[::-1]
    largest = np.argmax(np.abs(directions), axis=1)
    signs = np.sign(directions[np.arange(3), largest])
    # Grey images have two directions of zero variance; rounding may make it negative.
    stddev = np.sqrt(np.maximum(variance, 0))
    return stddev.astype(np.float32), (directions * signs[:, None]).astype(np.float32)


@dataclass
class Sums:
    """Exact integer sums over images, from which the statistics are computed."""

    num_images: int
    total: np.ndarray
    """int64 `[size, size, 3]`, the sum of each pixel."""
    products: np.ndarray
    """int64 `[3, 3]`, the products of each two channels, summed over all pixels."""

    def __iadd__(self, other: "Sums") -> "Sums":
        self.num_images += other.num_images
        self.total += other.total
        self.products += other.products
        return self

    def statistics(self) -> Statistics:
        mean_image = self.total / self.num_images
        mean = mean_image.mean(axis=(0, 1))
        pixels = self.num_images * mean_image.shape[0] * mean_image.shape[1]
        covariance = self.products / pixels - np.outer(mean, mean)
        return Statistics(mean_image.astype(np.float32), covariance)


def no_images(size: int) -> Sums:
    """Sums over no images: all zero."""
    return Sums(0, np.zeros((size, size, 3), np.int64), np.zeros((3, 3), np.int64))


def sums_of(image: np.ndarray) -> Sums:
    """The sums over uint8 images `[n, size, size, 3]`."""
    sums = no_images(image.shape[1])
    sums.num_images = len(image)
    sums.total += image.sum(axis=0, dtype=np.int64)
    for pixels in image:
        sums.products += decoding.channel_products(pixels)
    return sums


def compute(source: Source, *, num_workers: int | None) -> Statistics:
    """Computes the statistics in one pass over a training set.

    Damaged images that are skipped do not count.
    """

    def sum_up(_: np.ndarray, image: np.ndarray, label: np.ndarray) -> Sums:
        return sums_of(image[label >= 0] if source.skip_damaged else image)

    sums = no_images(source.image_size)
    for part in in_chunks(source, sum_up, num_workers):
        sums += part
    return sums.statistics()


def load_or_compute(
    source: Source, path: Path, *, num_workers: int | None
) -> Statistics:
    """The statistics stored at `path`.

    The first time they are copied from the prepared dataset or, if it has none that
    fit, computed; then they are stored at `path`.

    Raises:
        UserError: those at `path` belong to another dataset, or the file is damaged.
    """
    if not path.exists():
        statistics = _prepared(source)
        if statistics is None:
            text = f"computing the mean image of {source.num_examples} images"
            print_line(text, sys.stdout)
            statistics = compute(source, num_workers=num_workers)
        save(path, statistics, source.fingerprint)
    statistics, fingerprint = _load(path)
    if fingerprint != source.fingerprint:
        raise UserError(
            f"{path} is of {fingerprint}, and the run has {source.fingerprint}: delete "
            "it or use another --workdir."
        )
    return statistics


def _prepared(source: Source) -> Statistics | None:
    path = source.directory / FILE
    statistics, fingerprint = _load(path) if path.exists() else (None, None)
    return statistics if fingerprint == source.fingerprint else None


def save(path: Path, statistics: Statistics, fingerprint: str) -> None:
    """Writes the statistics, the whole file or nothing."""
    with atomic_files.replacing(path) as partial:
        np.savez(
            partial,
            mean_image=statistics.mean_image,
            covariance=statistics.covariance,
            fingerprint=np.array(fingerprint),
        )


def load(path: Path) -> Statistics:
    """The statistics of a run directory or of a prepared dataset.

    Raises:
        UserError: the file is missing or damaged.
    """
    return _load(path)[0]


def _load(path: Path) -> tuple[Statistics, str]:
    if not path.exists():
        raise UserError(f"{path} does not exist.")
    stored = read_arrays(path, ("mean_image", "covariance", "fingerprint"))
    mean_image, covariance, fingerprint = stored
    if mean_image.ndim != 3 or covariance.shape != (3, 3):
        shapes = f"{list(mean_image.shape)} and {list(covariance.shape)}"
        raise UserError(f"{path} is damaged (shapes {shapes}): delete it.")
    return Statistics(mean_image, covariance), str(fingerprint)


def read_arrays(
    path: Path, names: Sequence[str], remedy: str = "delete it"
) -> list[np.ndarray]:
    """Reads arrays of these names from an .npz file.

    Raises:
        UserError: the file is damaged; the message names the remedy.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            return [stored[name] for name in names]
    # Damaged bytes lead numpy and zipfile to exceptions of many kinds.
    except Exception as error:
        raise UserError(f"{path} is damaged ({error}): {remedy}.") from error
