"""The command: python -m experiments.report --preset cifar10 --out docs/results

Tables (Markdown, CSV) and figures of what `experiments.run` has trained: paper,
authors' logs and ours side by side. What has not been run is a dash.
"""

import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from alexnet_jax import config_checks
from alexnet_jax.config import Positive
from alexnet_jax.errors import UserError
from alexnet_jax.presets import PresetName
from experiments import figures, plan, run
from experiments.plan import Experiment
from experiments.results import Row, change, read_row

HEADER = (
    "variant",
    "change, paper",
    "change, authors' logs",
    "change, ours",
    "top-1 error, ours",
    "left ln(classes)",
    "n",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    experiment: tuple[plan.Name, ...] = plan.NAMES
    """Questions, one or more; none: all."""
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


def report(chosen: Options) -> str:
    """Writes tables and figures; returns the Markdown."""
    config_checks.check_ranges(chosen)
    base = plan.base_config(
        chosen.preset, num_epochs=chosen.num_epochs, smoke=chosen.smoke
    )
    root = run.root_of(chosen.workdir, chosen.preset, chosen.smoke)
    if not root.is_dir():
        raise UserError(f"{root} is not there: nothing has been run on this base.")
    names = plan.run_names(base)
    chosen.out.mkdir(parents=True, exist_ok=True)
    parts = [f"# {chosen.preset}, {base.num_epochs:g} epochs, centre view\n"]
    cells = []
    for name in chosen.experiment:
        experiment = plan.open_experiment(name, base)
        rows = [read_row(experiment, v, names, root) for v in experiment.variants]
        drawn = figures.draw(experiment, rows, chosen.out)
        parts.append(_section(experiment, rows, drawn))
        cells += [[name, *_cells(row, rows[0])] for row in rows]
    text = "\n".join(parts)
    (chosen.out / "report.md").write_text(text)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([["experiment", *HEADER], *cells])
    (chosen.out / "report.csv").write_text(table.getvalue())
    return text


def _section(experiment: Experiment, rows: list[Row], drawn: list[str]) -> str:
    lines = [
        f"## {experiment.name}: {experiment.question}\n",
        f"| {' | '.join(HEADER)} |",
        "|" + "---|" * len(HEADER),
    ]
    lines += [f"| {' | '.join(_cells(row, rows[0]))} |" for row in rows]
    sources = [
        f"`{row.variant}`: section {row.target.source}."
        if row.target.paper is not None
        else f"`{row.variant}`: {row.target.source}."
        for row in rows
        if row.target
    ]
    if sources:
        lines += ["", "Sources: " + " ".join(sources)]
    lines += ["", *(f"![{name}]({name})" for name in drawn), ""]
    return "\n".join(lines)


def _cells(row: Row, baseline: Row) -> list[str]:
    """One line of the table; changes are in points, positive is worse."""
    target = row.target
    ours = change(row, baseline) if row is not baseline else None
    errors = [one.top1_error for one in row.finished]
    left = [one.left_guessing for one in row.runs if one.left_guessing is not None]
    return [
        row.variant,
        _signed(target.paper if target else None),
        _signed(target.log if target else None),
        _spread(*ours[:2], sign=True) if ours else "-",
        _measured(errors, row.diverged),
        f"epoch {np.mean(left):.2f}" if left else ("never" if row.runs else "-"),
        str(len(errors)),
    ]


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _measured(errors: list[float], diverged: int) -> str:
    note = f"{diverged} diverged" if diverged else ""
    if not errors:
        return note or "-"
    deviation = float(np.std(errors, ddof=1)) if len(errors) > 1 else None
    return _spread(float(np.mean(errors)), deviation) + (f", {note}" if note else "")


def _spread(mean: float, deviation: float | None, sign: bool = False) -> str:
    text = f"{mean:+.2f}" if sign else f"{mean:.2f} %"
    return text if deviation is None else f"{text} ± {deviation:.2f}"


def main() -> int:
    """Returns the exit code: 0 done, 2 a mistake."""
    chosen = tyro.cli(Options, prog="python -m experiments.report", description=__doc__)
    try:
        print(report(chosen))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
