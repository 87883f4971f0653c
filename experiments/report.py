"""The command: python -m experiments.report --preset cifar10 --out docs/results

Tables (Markdown, CSV) and figures for the runs of `experiments.run`: the paper, the
authors' logs and ours side by side. A dash means that a variant has not been run, an
empty field that the paper or the logs have no figure.
"""

import csv
import io
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from alexnet_jax import command, config_checks
from alexnet_jax.config import Config
from alexnet_jax.errors import UserError
from alexnet_jax.presets import PRESETS, PresetName
from alexnet_jax.ranges import Positive
from experiments import figures, plan, run, seeds
from experiments.plan import Experiment
from experiments.results import Row, change, epochs_of_runs, read_row
from experiments.variants import Target

HEADER = (
    "variant",
    "change, paper (points)",
    "change, authors' logs (points)",
    "change, ours (points)",
    "top-1 error, ours (%)",
    "epochs",
    "left ln(classes) (epoch)",
    "n",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the command."""

    experiment: tuple[str, ...] = field(default_factory=plan.question_names)
    """Questions, by the names of their files."""
    preset: PresetName = "alexnet2012"
    """The base that the variants change."""
    num_epochs: Positive[float] | None = None
    """As given to `experiments.run`."""
    workdir: Path = Path("runs/experiments")
    """As given to `experiments.run`."""
    smoke: bool = False
    """As given to `experiments.run`."""
    out: Path
    """Directory for report.md, report.csv and the figures."""


def report(options: Options) -> str:
    """Writes the tables and figures; returns the Markdown."""
    config_checks.check_ranges(options)
    base = plan.base_config(
        options.preset, num_epochs=options.num_epochs, smoke=options.smoke
    )
    experiments = [plan.open_experiment(name, base) for name in options.experiment]
    root = run.root_of(options.workdir, options.preset, options.smoke)
    names = plan.run_names(base)
    tables = [
        [read_row(experiment, variant, names, root) for variant in experiment.variants]
        for experiment in experiments
    ]
    if not any(row.finished or row.diverged for rows in tables for row in rows):
        raise UserError(_nothing(options, base, root))
    options.out.mkdir(parents=True, exist_ok=True)
    parts = [_title(options.preset, base)]
    cells = []
    for experiment, rows in zip(experiments, tables, strict=True):
        drawn = figures.draw(experiment, rows, options.out)
        parts.append(_section(experiment, rows, drawn))
        cells += [[experiment.name, *_cells(row, rows[0])] for row in rows]
    text = "\n".join(parts)
    (options.out / "report.md").write_text(text)
    (options.out / "report.csv").write_text(_csv([["experiment", *HEADER], *cells]))
    return text


def _title(preset: PresetName, base: Config) -> str:
    """Preset, epochs and views; a run shorter than the preset's is called short."""
    whole = PRESETS[preset].num_epochs
    lines = [f"# {preset}, {base.num_epochs:g} epochs, centre view\n"]
    if base.num_epochs < whole:
        share = f"{base.num_epochs:g} of {whole:g} epochs"
        lines.append(
            f"Short runs: {share}. Changes may differ from those at the end.\n"
        )
    return "\n".join(lines)


def _nothing(options: Options, base: Config, root: Path) -> str:
    """The message where no run is as long as asked: what runs there are."""
    found = [
        f"  {directory.relative_to(root)}: {epochs:g} epochs"
        for directory, epochs in epochs_of_runs(root).items()
    ]
    if not found:
        others = sorted(path.name for path in options.workdir.glob("*/"))
        there = f"; there are runs on {', '.join(others)}" if others else ""
        return f"{root} has no runs: nothing has been run on this base{there}."
    head = (
        f"no run of these questions has reached {base.num_epochs:g} epochs in {root}:"
    )
    return "\n".join([head, *found, "Give --experiment and --num-epochs of the runs."])


def _csv(rows: list[list[str]]) -> str:
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    return table.getvalue()


def _section(experiment: Experiment, rows: list[Row], drawn: list[str]) -> str:
    lines = [
        f"## {experiment.name}: {experiment.question}\n",
        f"| {' | '.join(HEADER)} |",
        "|" + "---|" * len(HEADER),
    ]
    lines += [f"| {' | '.join(_cells(row, rows[0]))} |" for row in rows]
    sources = [_source(row.variant, row.target) for row in rows if row.target]
    if sources:
        lines += ["", "Sources: " + " ".join(sources)]
    lines += ["", *(f"![{name}]({name})" for name in drawn), ""]
    return "\n".join(lines)


def _source(variant: str, target: Target) -> str:
    section = "section " if target.paper is not None else ""
    return f"`{variant}`: {section}{target.source}."


def _cells(row: Row, baseline: Row) -> list[str]:
    """One row of the table; changes are in points, positive is worse."""
    target = row.target
    ours = change(row, baseline) if row is not baseline else []
    errors = [result.top1_error for result in row.finished]
    left = [r.left_chance for r in row.runs if r.left_chance is not None]
    return [
        row.variant,
        signed(target.paper if target else None),
        signed(target.log if target else None),
        seeds.spread(ours, sign=True) or "-",
        _measured(errors, row.diverged),
        _epochs(row),
        f"{np.mean(left):.2f}" if left else ("never" if row.runs else "-"),
        str(len(errors)),
    ]


def signed(value: float | None) -> str:
    """A change in points; empty where there is no figure."""
    return "" if value is None else f"{value:+.2f}"


def _epochs(row: Row) -> str:
    """Epochs of the finished runs, and how far the others are."""
    finished = [run.epochs for run in row.finished]
    others = [f"{run.epochs:.2g}" for run in row.runs if not run.finished]
    parts = [f"{np.mean(finished):.3g}"] if finished else []
    if others:
        parts.append(f"unfinished: {', '.join(others)}")
    return "; ".join(parts) or "-"


def _measured(errors: list[float], diverged: int) -> str:
    note = f"{diverged} diverged" if diverged else ""
    return ", ".join(filter(None, (seeds.spread(errors), note))) or "-"


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "experiments.report", __doc__ or "")
    return command.run(lambda: print(report(options)))


if __name__ == "__main__":
    sys.exit(main())
