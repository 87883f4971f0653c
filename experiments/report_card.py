"""The report card of `experiments.reproduce`: the claims, ours, learning curves."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.claims import Claim
from experiments.figures import new_figure
from experiments.known_answers import KnownAnswer
from experiments.records import Record

HEADER = (
    "claim",
    "unit",
    "paper",
    "authors' log",
    "asked",
    "ours (mean ± sd)",
    "n",
    "met",
)
CURVES = "curves.png"


def table(
    answers: Sequence[KnownAnswer],
    values: dict[str, float],
    claims: Sequence[Claim],
    known: list[Record],
    costs: list[Record],
) -> str:
    """The card as Markdown.

    Args:
        values: those known answers that have been computed, by name.
        known: the records of the runs.
        costs: records that tell how long a run takes.
    """
    rows = [HEADER, ("---",) * len(HEADER)]
    rows += [_answer(answer, values.get(answer.name)) for answer in answers]
    rows += [_claim(claim, known, costs) for claim in claims]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _answer(answer: KnownAnswer, value: float | None) -> tuple[str, ...]:
    if value is None:
        ours, met = "", "needs --imagenet" if answer.needs_images else "not computed"
    else:
        ours = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        met = "met" if answer.holds(value) else "not met"
    return (
        *(answer.text, "", answer.paper, answer.authors, answer.asked(), ours),
        *("" if value is None else "1", met),
    )


def _claim(claim: Claim, known: list[Record], costs: list[Record]) -> tuple[str, ...]:
    values = claim.measure(known)
    missing = claim.missing(known)
    met = ""
    if values:
        met = "met" if claim.holds(statistics.mean(values)) else "not met"
    if missing:
        minutes = sum(training.cost(costs) for training in missing)
        lacks = f"lacks {len(missing)} of {len(claim.trainings)} runs"
        met = f"{met}; {lacks}, {minutes:.0f} minutes".removeprefix("; ")
    return (
        *(claim.text, claim.unit, claim.paper, claim.authors, claim.asked()),
        *(_spread(values), str(len(values)), met),
    )


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    mean = f"{statistics.mean(values):.2f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.2f}"


def draw(known: list[Record], folder: Path) -> str | None:
    """Draws test error by epoch of all runs with at least three evaluations; returns
    the file's name, or None where there is nothing to draw."""
    drawn = [record for record in known if len(record.get("curve", [])) > 2]
    if not drawn:
        return None
    figure = new_figure(7, 4.5)
    axes: Any = figure.add_subplot()
    colors = {claim: f"C{n}" for n, claim in enumerate({r["claim"]: 0 for r in drawn})}
    for record in drawn:
        points, claim = record["curve"], record["claim"]
        axes.plot(
            [point["epoch"] for point in points],
            [100 * point["top1_error"] for point in points],
            color=colors[claim],
            label=claim,
        )
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once.keys(), fontsize="small")
    axes.set(xlabel="epoch", ylabel="test error, %", ylim=(0, None), xlim=(0, None))
    figure.savefig(folder / CURVES, dpi=120)
    return CURVES
