"""The command: python -m experiments.results_page

Writes from the records: the tables of docs/results.md, a list of the claims that lack
some, and the table of results in README.md.
"""

import json
from pathlib import Path

from alexnet_jax.data.ilsvrc2012 import TRAIN_IMAGES
from alexnet_jax.presets import ALEXNET2012
from experiments import known_answers, marked_part, records, report_card, result_tables
from experiments.changes_table import changes_tables
from experiments.claim import Claim
from experiments.claims import CLAIMS
from experiments.records import Record

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "results.md"
PROGRAM = "experiments.results_page"

_SPEED = ROOT / "benchmarks/results/2026-11-27-compare-torch-intel-2-128.json"


def with_results(page: str, known: list[Record]) -> str:
    """The page with what these records say."""
    return marked_part.replaced(page, PROGRAM, sections(known))


def with_summary(readme: str, known: list[Record]) -> str:
    """README with what these records say about the main job."""
    return marked_part.replaced(readme, PROGRAM, result_tables.main_table(known))


def sections(known: list[Record]) -> str:
    """All sections that have records, what has none, and the hours of all runs."""
    found = {
        "The claims": _claims(known),
        "The eight layers on small images": result_tables.main_table(known),
        "cuda-convnet's nets on CIFAR-10": result_tables.nets_table(known),
        "Ten views against the centre view": result_tables.views_table(known),
        "Fine-tuning": result_tables.tuning_table(known),
        "Figure 1: ReLU against tanh": result_tables.figure1(known),
        "Changes of the network": changes_tables(known),
        "Not recorded yet": _missing(known),
    }
    parts = [f"## {title}\n\n{text}" for title, text in found.items() if text]
    hours = records.cpu_hours(known)
    parts.append(f"All recorded runs took {hours:.1f} CPU hours (cores times hours).")
    return "\n\n".join(parts)


def _claims(known: list[Record]) -> str:
    """The report card of those that have records."""
    answers = [r["values"] for r in known if r["claim"] == known_answers.CLAIM]
    rows = [
        report_card.of_answer(answer, answers[0][answer.name])
        for answer in known_answers.ANSWERS
        if answers and answer.name in answers[0]
    ]
    measured = (claim for claim in CLAIMS if claim.measure(known))
    rows += [report_card.of_claim(claim, known) for claim in measured]
    return report_card.markdown(rows)


def _missing(known: list[Record]) -> str:
    """What the claims lack, with the cost by the recorded runs."""
    lines = [
        f"- `{claim.name}`: {_runs(len(missing))}, about {_time(claim, known)}."
        for claim in CLAIMS
        if (missing := claim.missing(known))
    ]
    if lines:
        how = (
            "The runs that the claims in `experiments/claims.py` still lack, with the "
            "time of like runs.\nThe changes of the network share the runs of their "
            "baseline.\n"
        )
        lines.insert(0, how)
    if all(record["claim"] != "alexnet2012" for record in known):
        lines.append(_imagenet())
    return "\n".join(lines)


def _imagenet() -> str:
    """What the network of 2012 would take, by the benchmark of a training step."""
    speed = json.loads(_SPEED.read_text())
    rate = 128 / speed["seconds"]["ours"]["train"]
    hours = ALEXNET2012.num_epochs * TRAIN_IMAGES / rate / 3600
    where = f"at {rate:.0f} images/s ({speed['hardware']})"
    return (
        f"- `alexnet2012`: no run yet; {where} about {hours:,.0f} hours,\n"
        "  so it needs a GPU, as do the questions on it."
    )


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"


def _time(claim: Claim, known: list[Record]) -> str:
    minutes = sum(training.cost(known) for training in claim.missing(known))
    return f"{minutes / 60:.1f} hours" if minutes >= 60 else f"{minutes:.0f} minutes"


if __name__ == "__main__":
    PAGE.write_text(with_results(PAGE.read_text(), records.kept()))
    README.write_text(with_summary(README.read_text(), records.kept()))
