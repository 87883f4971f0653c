"""The runs that a choice of experiments needs; equal configurations run only once."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from alexnet_jax.config import Config
from alexnet_jax.errors import UserError
from alexnet_jax.presets import PRESETS, PresetName
from experiments import questions
from experiments.variants import Target, did_you_mean, shortened

_SMOKE_EPOCHS = 0.05
_PARTS = ("PAPER_SECTION", "TARGETS", "variants")  # of a question's file


class Experiment(NamedTuple):
    """A question and its variants on a base."""

    name: str
    question: str
    paper_section: str | None
    targets: dict[str, Target]
    variants: dict[str, Config]

    @property
    def baseline(self) -> str:
        """The first variant."""
        return next(iter(self.variants))


class Run(NamedTuple):
    """One training run; several variants may share it."""

    name: str
    """See `run_names`."""
    seed: int
    config: Config
    directory: Path


def question_names() -> tuple[str, ...]:
    """The files in `experiments/questions/`, in alphabetical order."""
    return tuple(sorted(file.name for file in pkgutil.iter_modules(questions.__path__)))


def base_config(
    preset: PresetName,
    *,
    num_epochs: float | None = None,
    data_dir: str | None = None,
    smoke: bool = False,
) -> Config:
    """The configuration that the variants change.

    Args:
        smoke: shortens it to a few steps.
    """
    base = PRESETS[preset]
    data = dataclasses.replace(base.data, data_dir=data_dir or base.data.data_dir)
    base = dataclasses.replace(base, data=data)
    epochs = _SMOKE_EPOCHS if smoke else num_epochs
    return base if epochs is None else shortened(base, epochs)


def open_experiment(name: str, base: Config) -> Experiment:
    """Builds the variants of a question.

    Raises:
        UserError: there is no such question, or its file lacks a part.
    """
    module = _question_file(name)
    question = (module.__doc__ or "").split("\n")[0].removeprefix("Question: ")
    return Experiment(
        name, question, module.PAPER_SECTION, module.TARGETS, module.variants(base)
    )


def check_names(names: Sequence[str]) -> None:
    """Raises UserError if a question does not exist, and suggests the closest one."""
    known = question_names()
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(f"there is no experiment {name!r}{hint} See --help.")


def _question_file(name: str) -> Any:
    check_names([name])
    module = importlib.import_module(f"{questions.__name__}.{name}")
    missing = [part for part in _PARTS if not hasattr(module, part)]
    if missing:
        raise UserError(f"experiments/questions/{name}.py lacks {', '.join(missing)}.")
    return module


def run_names(base: Config) -> dict[Config, str]:
    """The name of each configuration's run, over all experiments.

    "base" is the base itself, which most experiments have as their baseline; any other
    is named for the first variant that has it: "columns/one_column".
    """
    names = {base: "base"}
    for name in question_names():
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
        only: a pattern for "experiment/variant/seed"; "*" matches all.

    Raises:
        UserError: an experiment does not exist, or the pattern matches no run.
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
        raise UserError(f"--only {only} matches no run; see --dry-run for the names.")
    return list(runs.values())


def run_directory(root: Path, name: str, seed: int) -> Path:
    """The directory of a run."""
    return root / name.replace("/", "-") / f"seed{seed}"
