"""Results of the runs of an experiment, read from their metrics.jsonl."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alexnet_jax.config import Config
from alexnet_jax.training import metrics_writer
from experiments import seeds
from experiments.plan import Experiment, run_directory
from experiments.variants import Target

LEFT_CHANCE = 0.97
"""A loss below this share of ln(classes) is no longer at chance."""


@dataclass(frozen=True)
class RunResult:
    """The records of one run, finished or not."""

    seed: int
    evaluations: list[dict[str, Any]]
    """The evaluation records, in order."""
    left_chance: float | None
    """Epoch at which the training loss was first clearly below ln(classes); None if it
    never was."""
    finished: bool

    @property
    def top1_error(self) -> float:
        """Percent of the images, at the last evaluation."""
        return 100 * self.evaluations[-1]["top1_error"]

    @property
    def epochs(self) -> float:
        """Epochs until the last evaluation."""
        return self.evaluations[-1]["epoch"]


@dataclass(frozen=True)
class Row:
    """A variant: the authors' figures and our runs."""

    variant: str
    target: Target | None
    runs: list[RunResult] = field(default_factory=list)
    diverged: int = 0

    @property
    def finished(self) -> list[RunResult]:
        return [run for run in self.runs if run.finished]


def read_row(
    experiment: Experiment, variant: str, names: dict[Config, str], root: Path
) -> Row:
    """All seeds of a variant that have been run."""
    config = experiment.variants[variant]
    seeds = sorted(
        int(path.name.removeprefix("seed"))
        for path in run_directory(root, names[config], 0).parent.glob("seed*")
    )
    runs, diverged = [], 0
    for seed in seeds:
        directory = run_directory(root, names[config], seed)
        diverged += (directory / "failed.txt").exists()
        result = _read_run(directory, seed, config)
        if result is not None:
            runs.append(result)
    return Row(variant, experiment.targets.get(variant), runs, diverged)


def _read_run(directory: Path, seed: int, config: Config) -> RunResult | None:
    records = metrics_writer.read_records(directory)
    evaluations = [record for record in records if record["kind"] == "eval"]
    if not evaluations:
        return None
    chance = math.log(config.model.num_classes)
    left = [
        record["epoch"]
        for record in records
        if record["kind"] == "train" and record["loss"] < LEFT_CHANCE * chance
    ]
    # The step that completes the epochs may end slightly beyond them.
    finished = evaluations[-1]["epoch"] >= config.num_epochs - 1e-3
    return RunResult(seed, evaluations, left[0] if left else None, finished)


def epochs_of_runs(root: Path) -> dict[Path, float]:
    """Epochs until the last evaluation of each run directory that has one."""
    found = {}
    for directory in sorted(root.glob("*/seed*/")):
        records = metrics_writer.read_records(directory)
        epochs = [record["epoch"] for record in records if record["kind"] == "eval"]
        if epochs:
            found[directory] = epochs[-1]
    return found


def change(row: Row, baseline: Row) -> list[float]:
    """Changes of top-1 error against the same seeds of the baseline, in points, for the
    seeds that are finished for both."""
    return seeds.changes(_errors(row), _errors(baseline))


def _errors(row: Row) -> dict[int, float]:
    return {run.seed: run.top1_error for run in row.finished}
