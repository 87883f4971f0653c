"""The report card: the claims, what is asked, ours, and whether it is met."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alexnet_jax.figures.drawing import new_figure
from experiments import marked_part, records, seeds
from experiments.claim import Claim
from experiments.figures import LEAST_POINTS
from experiments.known_answers import KnownAnswer
from experiments.records import Record

CURVES = "curves.png"


class Row(NamedTuple):
    """A claim, in cells of a table."""

    name: str
    claim: str
    unit: str
    paper: str
    authors: str
    asked: str
    ours: str
    n: str
    met: str


HEAD = Row(
    *("name", "claim", "unit", "paper", "authors' log", "asked"),
    *("ours (mean ± sd)", "n", "met"),
)


def of_answer(answer: KnownAnswer, value: float | None) -> Row:
    """A known answer; None as its value means that it has not been computed."""
    if value is None:
        ours, met = "", "needs --imagenet" if answer.needs_images else "not computed"
    else:
        ours = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        met = "met" if answer.holds(value) else "not met"
    return Row(
        *(answer.name, answer.text, "", answer.paper, answer.authors, answer.asked()),
        *(ours, "" if value is None else "1", met),
    )


def of_claim(claim: Claim, known: list[Record]) -> Row:
    values = claim.measure(known)
    return Row(
        *(claim.name, claim.text, claim.unit, claim.paper, claim.authors),
        *(claim.asked(), seeds.spread(values, sign=claim.unit == "points")),
        *(str(len(values)), claim.verdict(values)),
    )


def with_lack(row: Row, claim: Claim, known: list[Record], costs: list[Record]) -> Row:
    """The row with the number of runs that the claim lacks, and their minutes."""
    missing = claim.missing(known)
    if not missing:
        return row
    minutes = sum(training.cost(costs) for training in missing)
    number = f"{len(missing)} of {len(claim.trainings)} runs"
    met = f"{row.met}; lacks {number}, {minutes:.0f} minutes".removeprefix("; ")
    return row._replace(met=met)


def lack_in_all(
    claims: Sequence[Claim], known: list[Record], costs: list[Record]
) -> str:
    """The runs that claims share count once; nothing if none is missing."""
    missing = {training for claim in claims for training in claim.missing(known)}
    minutes = sum(training.cost(costs) for training in missing)
    number = f"{len(missing)} run" + "s" * (len(missing) != 1)
    return f"In all {number} missing, {minutes:.0f} minutes." if missing else ""


def markdown(rows: Sequence[Row]) -> str:
    """The table with the claims in words."""
    return marked_part.filled_table([row[1:] for row in (HEAD, *rows)])


def aligned(rows: Sequence[Row]) -> str:
    """The table for a terminal, with the claims by name."""
    cells = [(row.name, *row[2:]) for row in (HEAD, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def draw(known: list[Record], folder: Path) -> str | None:
    """Draws the test errors by epoch, a panel for each program and dataset, of the runs
    with at least three evaluations; returns the file's name, or None without such runs.

    Raises:
        UserError: matplotlib is not installed.
    """
    panels: dict[str, list[Record]] = {}
    for record in known:
        if len(record.get("curve", [])) >= LEAST_POINTS:
            program = record["command"].split()[2]
            title = f"{record['dataset']}, {program}"
            panels.setdefault(title, []).append(record)
    if not panels:
        return None
    figure = new_figure(7, 3.5 * len(panels))
    for axes, (title, runs) in zip(
        figure.subplots(len(panels), squeeze=False)[:, 0], panels.items(), strict=True
    ):
        _plot(axes, title, runs)
    figure.savefig(folder / CURVES, dpi=120)
    return CURVES


def _plot(axes: Any, title: str, runs: list[Record]) -> None:
    """All seeds of a claim have its colour."""
    for number, claim in enumerate({record["claim"]: 0 for record in runs}):
        of_seeds = records.of_claim(runs, claim)
        for record in of_seeds:
            points = record["curve"]
            (line,) = axes.plot(
                [point["epoch"] for point in points],
                [100 * point["top1_error"] for point in points],
                color=f"C{number}",
            )
        line.set_label(f"{claim}, n = {len(of_seeds)}")
    axes.set(xlabel="epoch", ylabel="test error, %", ylim=(0, None), xlim=(0, None))
    axes.set_title(title, fontsize="medium")
    axes.legend(fontsize="small")
