"""Part 1: the maps and units of each layer for the shown images."""

from typing import Any

import numpy as np

from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS
from alexnet_jax.explanation import packing
from alexnet_jax.explanation.subject import Subject

_SIDE, _SIDE_OF_CROWDED = 28, 14  # pixels of a map in the page, at most
_MAPS_OF_LARGE = 24  # per column, of a network that does not run in the page


def collect(subject: Subject) -> dict[str, dict[str, Any]]:
    """The activations of each layer: maps as uint8 `[images, maps, side, side]`, an
    image on its own scale, from `low` to `high`; units as float32 `[images, units]`.

    Of a large network the most active maps of each column, averaged over blocks.
    "maximum" says for each image and map where it is largest, in units of the full map:
    row and column, and the value.
    """
    config = subject.config.model
    maps = {
        name: _of_layer(subject, subject.stages[f"{name}.activation"])
        for name in CONV_LAYERS
        if name not in config.without
    }
    units = {
        name: {"units": packing.floats(subject.stages[_stage(name)])}
        for name in DENSE_LAYERS
        if name not in config.without
    }
    return maps | units


def _stage(name: str) -> str:
    return f"{name}.linear" if name == "fc8" else f"{name}.activation"


def _of_layer(subject: Subject, activation: np.ndarray) -> dict[str, Any]:
    places = _chosen(subject, activation)
    maps = np.moveaxis(activation, -1, 1)[:, places]
    full = maps.shape[-1]
    flat = maps.reshape(*maps.shape[:2], -1)
    largest = np.stack(np.unravel_index(flat.argmax(-1), maps.shape[2:]), axis=-1)
    side = _SIDE_OF_CROWDED if subject.is_crowded else _SIDE
    shown = packing.shrunk(maps.reshape(-1, *maps.shape[2:]), side)
    shown = shown.reshape(*maps.shape[:2], *shown.shape[1:])
    low = [min(0.0, float(one.min())) for one in shown]
    high = [float(one.max()) for one in shown]
    return {
        "places": places.tolist(),
        "size": full,
        "side": shown.shape[-1],
        "low": low,
        "high": high,
        "levels": [
            packing.levels(one, *ends)
            for one, *ends in zip(shown, low, high, strict=True)
        ],
        "largest": largest.tolist(),
        "maximum": packing.rounded(flat.max(-1), 3),
    }


def _chosen(subject: Subject, activation: np.ndarray) -> np.ndarray:
    """Indices of the maps in the page, in order."""
    count = activation.shape[-1]
    if subject.is_small:
        return np.arange(count)
    columns = subject.config.model.num_columns
    strength = activation.mean(axis=(0, 1, 2)).reshape(columns, -1)
    best = np.argsort(-strength, axis=1, kind="stable")[:, :_MAPS_OF_LARGE]
    starts = np.arange(columns)[:, None] * strength.shape[1]
    return np.sort((best + starts).ravel())
