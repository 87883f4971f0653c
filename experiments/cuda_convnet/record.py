"""The record of a finished run of `train`."""

import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

from alexnet_jax.training import metrics_writer, record
from experiments.cuda_convnet.settings import Settings


def of_run(directory: Path, settings: Settings) -> dict[str, Any]:
    """As `alexnet_jax.training.record.of_run`, and top-1 errors (fractions) by the
    number of views at the end of the run."""
    outcome = record.outcome(directory)
    words = options(settings)
    return {
        "claim": " ".join([settings.net, *words]),
        "command": command(settings),
        "dataset": "cifar10",
        "split": "test",
        "seed": settings.seed,
        **outcome,
        "top1_error_by_views": {
            str(line["views"]): line["top1_error"]
            for line in metrics_writer.read_records(directory)
            if line["kind"] == "eval" and line["step"] == outcome["steps"]
        },
    }


def command(settings: Settings) -> str:
    """The command that trains with these settings, but for its directories."""
    words = ["python", "-m", "experiments.cuda_convnet.train", "--net", settings.net]
    seed = record.option("seed", settings.seed) if settings.seed else []
    return shlex.join([*words, *options(settings), *seed])


def options(settings: Settings) -> list[str]:
    """The settings that differ from those of the net, but for the seed, as options."""
    default = Settings(net=settings.net, seed=settings.seed)
    return [
        word
        for field in fields(settings)
        if (value := getattr(settings, field.name)) != getattr(default, field.name)
        for word in record.option(field.name, value)
    ]
