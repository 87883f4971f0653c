"""The content of a page as JSON: the parts in their order."""

import dataclasses
from typing import Any

from alexnet_jax.data import class_names
from alexnet_jax.explanation import (
    activity,
    dropout,
    figure1,
    history,
    images,
    learned,
    live_network,
    maps,
    norms,
    pools,
    structure,
    views,
)
from alexnet_jax.explanation.subject import Subject


def collect(subject: Subject) -> dict[str, Any]:
    """Everything that the page shows of a network."""
    config = subject.config
    return {
        "title": f"AlexNet on {config.data.name}",
        "dataset": config.data.name,
        "parameters": subject.model.network.num_parameters,
        "step": subject.model.network.step,
        "columns": config.model.num_columns,
        "activation": config.model.activation,
        "batch_size": config.batch_size,
        "grey": learned.is_grey(subject),
        "classes": class_names.readable(
            subject.model.network.class_names, config.model.num_classes
        ),
        "optimizer": dataclasses.asdict(config.optimizer),
        "layers": structure.collect(subject),
        "images": images.collect(subject),
        "maps": maps.collect(subject),
        "activity": activity.collect(subject),
        "figure1": figure1.collect(),
        "norms": norms.collect(subject),
        "pool": pools.collect(subject),
        "views": views.collect(subject),
        "dropout": dropout.collect(subject),
        "learned": learned.collect(subject),
        "history": history.collect(subject.path, config),
        "network": live_network.collect(subject),
    }
