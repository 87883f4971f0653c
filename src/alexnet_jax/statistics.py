"""Mean image and RGB covariance of a training set (paper sections 2 and 4.1)."""

import contextlib
import io
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alexnet_jax import data
from alexnet_jax.config import UserError

_CHUNK = 256  # images that are summed up together


@dataclass(frozen=True)
class Statistics:
    """What the network's input is measured by; pixels are on 0-255."""

    mean_image: np.ndarray
    """float32 `[size, size, 3]`, the mean of each pixel."""
    covariance: np.ndarray
    """float64 `[3, 3]`, of the RGB values of all pixels of all images."""


def principal_components(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations, largest first, and directions, one in each row.

    The sign of a direction is chosen so that its largest entry is positive.

    Returns:
        float32 `[3]` on the 0-255 scale and float32 `[3, 3]`.
    """
    variance, directions = np.linalg.eigh(covariance)
    variance, directions = variance[::-1], directions.T[::-1]
    largest = np.argmax(np.abs(directions), axis=1)
    signs = np.sign(directions[np.arange(3), largest])
    # Grey images have two directions without variance, which may come out below 0.
    stddev = np.sqrt(np.maximum(variance, 0))
    return stddev.astype(np.float32), (directions * signs[:, None]).astype(np.float32)


def compute(
    source: data.Source,
    *,
    num_workers: int | None,
    report: Callable[[int], None] = lambda images: None,
) -> Statistics:
    """One pass over a training set, with exact integer sums.

    Args:
        report: is told now and then how many images have been read.
    """
    size = source.image_size
    total = np.zeros((size, size, 3), np.int64)
    products = np.zeros((3, 3), np.int64)

    def chunk_sums(
        indices: np.ndarray, pool: ThreadPoolExecutor
    ) -> tuple[int, np.ndarray, np.ndarray]:
        image, _ = data.read_rows(source, indices, pool)
        # Exact in float64: a chunk of 256x256 images stays below 2^53.
        pixels = image.reshape(-1, 3).astype(np.float64)
        product = (pixels.T @ pixels).astype(np.int64)
        return len(indices), image.sum(axis=0, dtype=np.int64), product

    starts = range(0, source.num_examples, _CHUNK)
    chunks = (
        np.arange(start, min(start + _CHUNK, source.num_examples)) for start in starts
    )
    done = 0
    with contextlib.closing(data.ahead(chunk_sums, chunks, num_workers)) as sums:
        for images, image_sum, product in sums:
            total += image_sum
            products += product
            done += images
            report(done)
    mean_image = total / source.num_examples
    mean = mean_image.mean(axis=(0, 1))
    pixels = source.num_examples * size**2
    covariance = products / pixels - np.outer(mean, mean)
    return Statistics(mean_image.astype(np.float32), covariance)


def load_or_compute(
    source: data.Source, path: Path, *, num_workers: int | None
) -> Statistics:
    """The statistics stored at `path`, computed and stored there the first time.

    Raises:
        UserError: those at `path` are of another dataset, or the file is damaged.
    """
    if not path.exists():
        print(f"computing the mean image of {source.num_examples} images", flush=True)
        found = compute(source, num_workers=num_workers)
        partial = path.with_suffix(".partial.npz")
        np.savez(
            partial,
            mean_image=found.mean_image,
            covariance=found.covariance,
            fingerprint=np.array(source.fingerprint),
        )
        os.replace(partial, path)
        return found
    try:
        content = io.BytesIO(path.read_bytes())
        with np.load(content, allow_pickle=False) as stored:
            fingerprint = str(stored["fingerprint"])
            found = Statistics(stored["mean_image"], stored["covariance"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}): delete it.") from error
    if fingerprint != source.fingerprint:
        raise UserError(
            f"{path} is of {fingerprint}, and the run has {source.fingerprint}: delete "
            "it or use another --workdir."
        )
    return found
