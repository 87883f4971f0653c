"""Part 5: the most active maps of the first pooled layer, as pooling finds them."""

import dataclasses
from typing import Any

import numpy as np

from alexnet_jax.config import CONV_LAYERS, ConvLayer
from alexnet_jax.explanation import packing
from alexnet_jax.explanation.subject import Subject

_MAPS = 4
_SIDE = 55  # pixels of a map, at most


def collect(subject: Subject) -> dict[str, Any] | None:
    """Levels `[images, maps, side, side]` from `low` to `high`; None if no layer has
    pooling."""
    config = subject.config.model
    for name in CONV_LAYERS:
        layer: ConvLayer = getattr(config, name)
        if name not in config.without and layer.pool.window > 1:
            return _of_layer(subject, name, layer)
    return None


def _of_layer(subject: Subject, name: str, layer: ConvLayer) -> dict[str, Any]:
    positions = (layer.local_norm.position, layer.spatial_norm.position)
    stage = "norm" if "after_activation" in positions else "activation"
    maps = np.moveaxis(subject.stages[f"{name}.{stage}"], -1, 1)[..., :_SIDE, :_SIDE]
    strength = maps.std(axis=(2, 3)).mean(axis=0)
    places = np.sort(np.argsort(-strength, kind="stable")[:_MAPS])
    low, high = float(maps[:, places].min()), float(maps[:, places].max())
    return {
        "layer": name,
        "stage": stage,
        **dataclasses.asdict(layer.pool),
        "side": maps.shape[-1],
        "places": places.tolist(),
        "low": low,
        "high": high,
        "levels": packing.levels(maps[:, places], low, high),
    }
