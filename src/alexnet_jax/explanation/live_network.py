"""Part 9: the network itself, for the page to compute."""

from typing import Any

import jax
import numpy as np

from alexnet_jax import augment
from alexnet_jax.data import decoding
from alexnet_jax.data.source import Source
from alexnet_jax.explanation import packing
from alexnet_jax.explanation.subject import Subject
from alexnet_jax.figures import kernels
from alexnet_jax.weights import operations
from alexnet_jax.weights.network import Network


def collect(subject: Subject) -> dict[str, Any] | None:
    """Operations in order, parameters as float32 `[..., inputs, outputs]`, and what
    becomes of an image before them; None for a network of over 1 million parameters.

    "drawing" is the side in pixels at which a drawing becomes an image like those of
    the dataset, if these are grey; None for colour images.
    """
    if not subject.is_small:
        return None
    network = subject.model.network.on_host()
    crop, scale = subject.config.augment.crop_size, subject.config.augment.pixel_scale
    mean = np.asarray(augment.center_crop(network.mean_image, crop))
    return {
        "operations": operations_of(network),
        "params": params_of(network),
        "mean": packing.floats(mean),
        "scale": list(scale) if isinstance(scale, tuple) else [scale] * 3,
        "precision": subject.config.model.precision,
        "drawing": _side_of_drawings(subject, network.mean_image),
    }


def operations_of(network: Network) -> list[dict[str, Any]]:
    """The operations with their settings; `shape` is maps, height, width, or units."""
    return [
        {
            "layer": one.layer,
            "stage": one.stage,
            "kind": type(one.kind).__name__,
            **one.kind._asdict(),
            "shape": one.shape,
        }
        for one in operations.of_network(network)
    ]


def params_of(network: Network) -> dict[str, dict[str, str]]:
    """Kernels and biases, packed."""
    return jax.tree.map(packing.floats, network.params)


def _side_of_drawings(subject: Subject, mean_image: np.ndarray) -> int | None:
    if not kernels.is_grey(mean_image):
        return None
    size = subject.config.data.image_size
    return min(size, _stored_side(subject.training)) if subject.training else size


def _stored_side(source: Source) -> int:
    """The shorter side of the first image as it is stored."""
    return min(decoding.decode(source.records[0]["image"]).shape[:2])
