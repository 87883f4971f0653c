"""The command: python -m experiments.questions_table

Writes the table of questions in docs/experiments.md, from the files in
experiments/questions/.
"""

from pathlib import Path

from alexnet_jax.presets import ALEXNET2012
from experiments import marked_part, plan
from experiments.plan import Experiment

PAGE = Path(__file__).parents[1] / "docs" / "experiments.md"
PROGRAM = "experiments.questions_table"


def table() -> str:
    """One row per question, in the order of the paper's sections."""
    experiments = [
        plan.open_experiment(name, ALEXNET2012) for name in plan.question_names()
    ]
    experiments.sort(key=lambda experiment: experiment.paper_section or "~")
    rows = ["| question | file | paper |", "|---|---|---|", *map(_row, experiments)]
    return "\n".join(rows)


def _row(experiment: Experiment) -> str:
    file = f"[`{experiment.name}`](../experiments/questions/{experiment.name}.py)"
    return f"| {experiment.question} | {file} | {experiment.paper_section or ''} |"


def with_table(text: str) -> str:
    """`text` with the current table between the two markers."""
    return marked_part.replaced(text, PROGRAM, table())


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
