"""What the runs of an experiment have come to, from their metrics.jsonl."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.config import Config
from experiments.plan import Experiment, run_directory
from experiments.variants import Target

_LEFT = 0.97  # of ln(classes): a loss below has left it


@dataclass(frozen=True)
class RunResult:
    """One run, finished or not."""

    seed: int
    evaluations: list[dict[str, Any]]
    """Records of evaluations, in order."""
    left_guessing: float | None
    """Epoch at which the training loss was first clearly below ln(classes)."""
    finished: bool

    @property
    def top1_error(self) -> float:
        """Percent of the images, at the last evaluation."""
        return 100 * self.evaluations[-1]["top1_error"]


@dataclass(frozen=True)
class Row:
    """A variant: what the authors say and what its runs give."""

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
    """All seeds of a variant that are there."""
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
    path = directory / "metrics.jsonl"
    if not path.exists():
        return None
    # The last line of a run that was killed may be torn.
    whole = path.read_bytes().rpartition(b"\n")[0]
    records = [json.loads(line) for line in whole.splitlines()]
    evaluations = [record for record in records if record["kind"] == "eval"]
    if not evaluations:
        return None
    guessing = math.log(config.model.num_classes)
    left = [
        record["epoch"]
        for record in records
        if record["kind"] == "train" and record["loss"] < _LEFT * guessing
    ]
    # A run ends with the step that completes its epochs, which may go a little beyond.
    finished = evaluations[-1]["epoch"] >= config.num_epochs - 1e-3
    return RunResult(seed, evaluations, left[0] if left else None, finished)


def change(row: Row, baseline: Row) -> tuple[float, float | None, int] | None:
    """Mean change of top-1 error in points against the same seeds of the baseline,
    its standard deviation (none for one seed), and the number of seeds."""
    base = {run.seed: run.top1_error for run in baseline.finished}
    changes = [
        run.top1_error - base[run.seed] for run in row.finished if run.seed in base
    ]
    if not changes:
        return None
    deviation = float(np.std(changes, ddof=1)) if len(changes) > 1 else None
    return float(np.mean(changes)), deviation, len(changes)
