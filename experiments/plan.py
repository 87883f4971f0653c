"""Which runs a choice of experiments needs. Equal configurations are run once."""

import dataclasses
import importlib
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, NamedTuple

from alexnet_jax.config import Config
from alexnet_jax.errors import UserError
from alexnet_jax.presets import PRESETS, PresetName
from experiments.variants import Target, shortened

Name = Literal[
    "columns",
    "response_norm",
    "pooling",
    "augmentation",
    "dropout",
    "depth",
    "recipe",
    "schedules",
    "batch_size",
    "activation",
    "precision",
]
NAMES: tuple[Name, ...] = Name.__args__  # type: ignore[attr-defined]

_SMOKE_EPOCHS = 0.05


class Experiment(NamedTuple):
    """A question, as its file has it."""

    name: str
    question: str
    baseline: str
    targets: dict[str, Target]
    variants: dict[str, Config]


class Run(NamedTuple):
    """One training run; several variants may share it."""

    name: str
    """"columns/one_column", the first that has this configuration."""
    seed: int
    config: Config
    directory: Path


def base_config(
    preset: PresetName,
    *,
    num_epochs: float | None = None,
    data_dir: str | None = None,
    smoke: bool = False,
) -> Config:
    """The configuration that the variants change; smoke: a few steps of it."""
    base = PRESETS[preset]
    data = dataclasses.replace(base.data, data_dir=data_dir or base.data.data_dir)
    base = dataclasses.replace(base, data=data)
    epochs = _SMOKE_EPOCHS if smoke else num_epochs
    return base if epochs is None else shortened(base, epochs)


def open_experiment(name: str, base: Config) -> Experiment:
    """The variants of a question on a base."""
    module: Any = importlib.import_module(f"experiments.questions.{name}")
    question = (module.__doc__ or "").split("\n")[0].removeprefix("Question: ")
    return Experiment(
        name, question, module.BASELINE, module.TARGETS, module.variants(base)
    )


def run_names(base: Config) -> dict[Config, str]:
    """The name under which each configuration is run, over all experiments."""
    names: dict[Config, str] = {}
    for name in NAMES:
        for variant, config in open_experiment(name, base).variants.items():
            names.setdefault(config, f"{name}/{variant}")
    return names


def plan(
    base: Config,
    experiments: Sequence[str],
    seeds: Sequence[int],
    root: Path,
    only: str,
) -> list[Run]:
    """The runs of these experiments, seed by seed, each once.

    Args:
        only: a pattern of "experiment/variant/seed", "*" for all.

    Raises:
        UserError: the pattern fits none.
    """
    names = run_names(base)
    runs: dict[tuple[str, int], Run] = {}
    for seed in seeds:
        for experiment in experiments:
            variants = open_experiment(experiment, base).variants
            for variant, config in variants.items():
                if fnmatch(f"{experiment}/{variant}/{seed}", only):
                    name = names[config]
                    config = dataclasses.replace(config, seed=seed)
                    directory = run_directory(root, name, seed)
                    runs[name, seed] = Run(name, seed, config, directory)
    if not runs:
        raise UserError(f"--only {only} fits no run; see --dry-run for the names.")
    return list(runs.values())


def run_directory(root: Path, name: str, seed: int) -> Path:
    """Where a run lives."""
    return root / name.replace("/", "-") / f"seed{seed}"
