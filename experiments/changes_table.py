"""The tables of docs/results.md on the questions of the paper: what a change of the
network does to the error."""

import math
from typing import Any

from alexnet_jax.config import Config
from alexnet_jax.presets import ALEXNET2012, PRESETS
from experiments import plan, records, seeds
from experiments.known_answers import parameters
from experiments.marked_part import Table, filled_table
from experiments.plan import Experiment
from experiments.records import Record
from experiments.report import signed
from experiments.result_tables import groups
from experiments.results import LEFT_CHANCE
from experiments.run_cells import RUN_HEAD, run_cells

_HEAD = (
    "run",
    "change, paper, points",
    "change, authors' logs, points",
    "change, ours, points",
    "test error, %",
    "left chance, epoch",
)


def changes_tables(known: list[Record]) -> str:
    """A table for each base and length of runs, with the changes that have records."""
    variants = [record for record in known if "variant" in record]
    bases = sorted({(record["preset"], record["num_epochs"]) for record in variants})
    parts = []
    for base in bases:
        here = [r for r in variants if (r["preset"], r["num_epochs"]) == base]
        parts.append(_changes(*base, here))
    return "\n\n".join(filter(None, parts))


def _changes(preset: Any, epochs: float, known: list[Record]) -> str:
    """The baselines first, then a row for each variant of each question."""
    base = plan.base_config(preset, num_epochs=epochs)
    names = plan.run_names(base)
    by_run = {runs[0]["variant"]: runs for runs in groups(known).values()}
    baselines: dict[str, tuple[str, ...]] = {}
    others: dict[str, tuple[str, ...]] = {}
    asked = []
    for question in plan.question_names():
        experiment = plan.open_experiment(question, base)
        found = _found(experiment, names, by_run)
        if experiment.baseline not in found or len(found) < 2:
            continue
        asked.append(question)
        first = found.pop(experiment.baseline)
        baselines |= _row(experiment, experiment.baseline, first, first)
        for variant, runs in found.items():
            others |= _row(experiment, variant, runs, first)
    if not asked:
        return ""
    rows: Table = [(*_HEAD, *RUN_HEAD), *(baselines | others).values()]
    return "\n\n".join(
        [_about(base, preset), filled_table(rows), _command(known, asked)]
    )


def _found(
    experiment: Experiment, names: dict[Config, str], by_run: dict[str, list[Record]]
) -> dict[str, list[Record]]:
    """The variants of a question that have records."""
    runs = {variant: names[config] for variant, config in experiment.variants.items()}
    return {variant: by_run[run] for variant, run in runs.items() if run in by_run}


def _row(
    experiment: Experiment, variant: str, runs: list[Record], baseline: list[Record]
) -> dict[str, tuple[str, ...]]:
    """A row by the name of its run; without a change for the baseline itself."""
    target, name = experiment.targets.get(variant), runs[0]["variant"]
    errors, base = records.errors(runs), records.errors(baseline)
    changes = [] if runs is baseline else seeds.changes(errors, base)
    classes = experiment.variants[variant].model.num_classes
    cells = (
        f"`{name}`",
        signed(target.paper if target else None),
        signed(target.log if target else None),
        seeds.spread(changes, sign=True),
        seeds.spread(list(errors.values())),
        ", ".join(_left_chance(record, classes) for record in runs),
    )
    return {name: (*cells, *run_cells(runs))}


def _left_chance(record: Record, classes: int) -> str:
    """The first epoch whose test loss is clearly below ln(classes)."""
    limit = LEFT_CHANCE * math.log(classes)
    left = [point["epoch"] for point in record["curve"] if point["loss"] < limit]
    return f"{left[0]:.0f}" if left else "never"


def _about(base: Config, preset: str) -> str:
    whole = PRESETS[preset].num_epochs
    return (
        f"`{preset}` has {parameters(base):,} parameters, the network of the paper "
        f"{parameters(ALEXNET2012):,}. These runs end after {base.num_epochs:g} of the "
        f"preset's {whole:g} epochs. So small a network and so short a run need not "
        "show what the paper's did. Changes are against the base with the same seeds; "
        "positive is worse."
    )


def _command(known: list[Record], questions: list[str]) -> str:
    preset, epochs = known[0]["preset"], known[0]["num_epochs"]
    numbers = " ".join(str(seed) for seed in sorted({r["seed"] for r in known}))
    return (
        f"`python -m experiments.run --preset {preset} --num-epochs {epochs:g} "
        f"--experiment {' '.join(questions)} --seeds {numbers}`"
    )
