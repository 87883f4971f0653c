"""Part 4: the real input of response normalisation, to normalise again in the page."""

import dataclasses
from typing import Any

import numpy as np

from alexnet_jax.config import CONV_LAYERS, ConvLayer, Norm
from alexnet_jax.explanation import packing
from alexnet_jax.explanation.subject import Subject
from alexnet_jax.presets import ALEXNET_PAPER

_SIDE = 8  # pixels along an axis at which values are given, at most
_INPUT = {
    "before_activation": "linear",
    "after_activation": "activation",
    "after_pool": "pool",
}


def collect(subject: Subject) -> list[dict[str, Any]]:
    """The layers with normalisation over maps; conv1 with the paper's constants if
    there are none ("exists" is False then).

    "values" is float32 `[images, side, side, maps]`, of every `step`-th pixel.
    """
    config = subject.config.model
    layers = {
        name: getattr(config, name)
        for name in CONV_LAYERS
        if name not in config.without
    }
    normalised = {
        name: layer.local_norm
        for name, layer in layers.items()
        if layer.local_norm.position != "off"
    }
    chosen = normalised or {"conv1": ALEXNET_PAPER.model.conv1.local_norm}
    return [
        _of_layer(subject, name, layers[name], norm) | {"exists": bool(normalised)}
        for name, norm in chosen.items()
    ]


def _of_layer(
    subject: Subject, name: str, layer: ConvLayer, norm: Norm
) -> dict[str, Any]:
    stage = f"{name}.{_INPUT[norm.position]}"
    values = subject.stages.get(stage, subject.stages[f"{name}.activation"])
    step = -(-values.shape[1] // _SIDE)
    values = values[:, ::step, ::step]
    return {
        "layer": name,
        "stage": stage,
        **dataclasses.asdict(norm),
        "spatial": layer.spatial_norm.position != "off",
        "step": step,
        "side": values.shape[1],
        "maps": values.shape[-1],
        "values": packing.floats(np.ascontiguousarray(values)),
    }
