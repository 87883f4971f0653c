"""Baselines of the input pipeline: PyTorch with Pillow, and tf.data.

Both decode the originals, scale the shorter side with antialiasing and crop the centre.
"""

import importlib.util
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from alexnet_jax.system import threads


def available(
    encoded: list[bytes], size: int, batch: int
) -> dict[str, Callable[[], Iterator[int]]]:
    """The baselines whose libraries are installed."""
    baselines: dict[str, Callable[[], Iterator[int]]] = {}
    if importlib.util.find_spec("torch"):
        baselines["PyTorch DataLoader, Pillow"] = lambda: torch_loader(
            encoded, size, batch
        )
    if importlib.util.find_spec("tensorflow"):
        baselines["tf.data, antialiased"] = lambda: tf_data(encoded, size, batch)
    return baselines


def scaled(squares: list[np.ndarray], size: int) -> dict[str, list[np.ndarray]]:
    """The same centre squares, scaled by each baseline.

    As delivered they round sizes and crops differently, and a shift by a fraction of a
    pixel would hide the difference between their filters; hence squares.
    """
    images = {"Pillow": [_pillow_scaled(square, size, _BILINEAR) for square in squares]}
    if importlib.util.find_spec("tensorflow"):
        import tensorflow as tf

        images["tf.data"] = [
            tf.cast(
                tf.clip_by_value(
                    tf.round(tf.image.resize(square, (size, size), antialias=True)),
                    0,
                    255,
                ),
                tf.uint8,
            ).numpy()
            for square in squares
        ]
    return images


def lanczos(squares: list[np.ndarray], size: int) -> list[np.ndarray]:
    """Pillow's best filter, for reference."""
    return [
        _pillow_scaled(square, size, Image.Resampling.LANCZOS) for square in squares
    ]


_BILINEAR = Image.Resampling.BILINEAR


def _pillow_scaled(square: np.ndarray, size: int, filter: Any) -> np.ndarray:
    return np.asarray(Image.fromarray(square).resize((size, size), filter))


def scale_and_crop(image: Image.Image, size: int) -> np.ndarray:
    """Shorter side to `size`, then the centre: uint8 `[size, size, 3]`."""
    width, height = image.size
    scale = size / min(width, height)
    width, height = round(width * scale), round(height * scale)
    scaled = image.resize((width, height), _BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(scaled.crop((left, top, left + size, top + size)))


def pillow(encoded: bytes, size: int) -> np.ndarray:
    """Like torchvision's Resize and CenterCrop on a Pillow image."""
    with Image.open(io.BytesIO(encoded)) as image:
        return scale_and_crop(image.convert("RGB"), size)


def torch_loader(encoded: list[bytes], size: int, batch: int) -> Iterator[int]:
    """One worker process per core, kept from epoch to epoch."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Images(Dataset):
        def __len__(self) -> int:
            return len(encoded)

        def __getitem__(self, index: int) -> Any:
            return torch.from_numpy(pillow(encoded[index], size).copy())

    loader = DataLoader(
        Images(),
        batch_size=batch,
        shuffle=True,
        num_workers=threads.usable_cores(),
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    while True:
        for images in loader:
            yield len(images)


def tf_convert(size: int) -> Callable[[Any], Any]:
    """Decodes, scales and crops one image inside tf.data."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")

    def convert(encoded: Any) -> Any:
        image = tf.io.decode_jpeg(encoded, channels=3)
        shape = tf.cast(tf.shape(image)[:2], tf.float32)
        target = tf.cast(tf.round(shape * (size / tf.reduce_min(shape))), tf.int32)
        scaled = tf.image.resize(image, target, antialias=True)
        offset = (target - size) // 2
        crop = tf.slice(scaled, tf.concat([offset, [0]], 0), [size, size, 3])
        return tf.cast(tf.clip_by_value(tf.round(crop), 0, 255), tf.uint8)

    return convert


def tf_data(encoded: list[bytes], size: int, batch: int) -> Iterator[int]:
    """Parallel map, batches, prefetch."""
    import tensorflow as tf

    dataset = (
        tf.data.Dataset.from_tensor_slices(encoded)
        .repeat()
        .map(tf_convert(size), num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch)
        .prefetch(tf.data.AUTOTUNE)
    )
    for images in dataset:
        yield len(images)
