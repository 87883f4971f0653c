"""The command: python -m experiments.results_page

Writes the tables of docs/results.md from the records, a list of the claims that lack
some, and the table of results in README.md.
"""

from pathlib import Path

from experiments import fine_tuning, marked_part, plan, records
from experiments.claims import CLAIMS, Claim
from experiments.marked_part import Table
from experiments.plan import Experiment
from experiments.records import Record
from experiments.report import signed, spread
from experiments.results import Row, RunResult, change
from experiments.run_cells import RUN_HEAD, hardware, measured, median, run_cells

README = Path(__file__).parents[1] / "README.md"
PAGE = README.parent / "docs" / "results.md"
PROGRAM = "experiments.results_page"

_MAIN = "python -m alexnet_jax.main"
_VIEWS = "python -m experiments.views"
_NETS = "python -m experiments.cuda_convnet.train"
# 90 passes over 1,281,167 images at the speed in docs/log.md
_IMAGENET = (
    "- `alexnet2012`: no run yet; at 14 images/s on two cores about 2,300 hours, so\n"
    "  it needs a GPU, as do the questions on it."
)


def with_results(page: str, known: list[Record]) -> str:
    """The page with what these records say."""
    return marked_part.replaced(page, PROGRAM, sections(known))


def with_summary(readme: str, known: list[Record]) -> str:
    """README with what these records say about the main job."""
    return marked_part.replaced(readme, PROGRAM, marked_part.table(_main_rows(known)))


def sections(known: list[Record]) -> str:
    """All sections that have records, what has none, and the hours of all runs."""
    nets = [r for r in known if r["command"].startswith(_NETS)]
    found = {
        "The eight layers on small images": [marked_part.table(_main_rows(known))],
        "cuda-convnet's nets on CIFAR-10": [marked_part.table(_net_rows(nets))],
        "Ten views against the centre view": [
            marked_part.table(
                _view_rows([r for r in known if r["command"].startswith(_VIEWS)])
            )
        ],
        "Fine-tuning": [
            marked_part.table(
                _start_rows([r for r in known if r["claim"] == fine_tuning.CLAIM])
            )
        ],
        "Figure 1: ReLU against tanh": [
            _figure(record) for record in known if record["claim"] == "figure1"
        ],
        "The questions of the paper on the eight layers": _questions(
            [record for record in known if "variant" in record]
        ),
        "Not recorded yet": [_missing(known)],
    }
    hours = records.cpu_hours(known)
    return "\n\n".join(
        [
            *(_section(title, parts) for title, parts in found.items() if any(parts)),
            f"All recorded runs took {hours:.1f} CPU hours (cores times hours).",
        ]
    )


def _section(title: str, parts: list[str]) -> str:
    return "\n\n".join([f"## {title}", *filter(None, parts)])


def _groups(known: list[Record]) -> dict[str, list[Record]]:
    """Records by claim, one for each seed."""
    return {r["claim"]: records.of_claim(known, r["claim"]) for r in known}


def _main_rows(known: list[Record]) -> Table:
    head = ("network", "command", "test error, %", "images", *RUN_HEAD)
    rows: Table = [head]
    main = [r for r in known if r["command"].startswith(_MAIN) and "variant" not in r]
    for claim, runs in _groups(main).items():
        rows.append(
            (
                f"`{claim}`",
                f"`{_without_seed(runs[0]['command'])} --workdir runs/`",
                measured([100 * r["result"]["top1_error"] for r in runs]),
                f"{runs[0]['result']['examples']:,}",
                *run_cells(runs),
            )
        )
    return rows


def _without_seed(command: str) -> str:
    before, _, after = command.partition(" --seed ")
    return before + after[len(after.split(" ")[0]) :]


def _net_rows(known: list[Record]) -> Table:
    views = ("1", "9", "10")
    ours = (f"ours, {count} views, %" for count in views[1:])
    rows: Table = [("net", "authors, %", "ours, centre view, %", *ours, *RUN_HEAD)]
    authors = {claim.name: claim.authors for claim in CLAIMS}
    for claim, runs in _groups(known).items():
        errors = [_by_views(runs, count) for count in views]
        rows.append(
            (
                f"`{claim}`",
                authors.get(claim, ""),
                *map(measured, errors),
                *run_cells(runs),
            )
        )
    return rows


def _by_views(runs: list[Record], views: str) -> list[float]:
    found = [record["top1_error_by_views"].get(views) for record in runs]
    return [100 * error for error in found if error is not None]


def _view_rows(known: list[Record]) -> Table:
    head = ("network", "centre view, %", "ten views, %", "gain, points")
    rows: Table = [(*head, "gain, paper, points", *RUN_HEAD)]
    for runs in _groups(known).values():
        one, ten = (_by_views(runs, views) for views in ("1", "10"))
        gains = [before - after for before, after in zip(one, ten, strict=True)]
        cells = (measured(values) for values in (one, ten, gains))
        network = f"`{runs[0]['trained_by']}`"
        rows.append((network, *cells, "1.50", *run_cells(runs)))
    return rows


def _start_rows(known: list[Record]) -> Table:
    """The errors with the start and without, after one epoch and at the end."""
    head = ("digits, from", "error after one epoch, %", "error at the end, %")
    rows: Table = [(*head, *RUN_HEAD)]
    for start, name in (("initial values", "scratch"), ("network `cifar10`", "start")):
        errors = [
            [100 * r["curves"][name][place]["top1_error"] for r in known]
            for place in (0, -1)
        ]
        if known:
            rows.append((start, *map(measured, errors), *run_cells(known)))
    return rows


def _figure(record: Record) -> str:
    """The grid and the runs of a record of Figure 1."""
    epochs = record["grid_epochs"]
    rows: Table = [
        (
            "activation",
            "learning rate",
            "seed",
            f"training error after {epochs} epochs, %",
            "epochs to 25 %",
        )
    ]
    for run in record["grid"] + record["runs"]:
        error, reached = run.get("top1_error"), run.get("epochs")
        rows.append(
            (
                run["activation"],
                f"{run['learning_rate']:g}",
                str(run["seed"]),
                "" if error is None else f"{100 * error:.2f}",
                "" if reached is None else f"{reached:.2f}",
            )
        )
    figure = "![Training error by epoch, ReLU and tanh](results/figure1.png)"
    return f"{marked_part.table(rows)}\n\n{_ratio(record)}\n\n{figure}"


def _ratio(record: Record) -> str:
    ratio = record["result"]["ratio"]
    found = "not reached" if ratio is None else f"{ratio:.1f}"
    return (
        f"Epochs of tanh over those of ReLU: {found}; the paper reports six. "
        f"`{record['net']}`, n = {len(record['seeds'])}, "
        f"{median([record['minutes'] or 0])} minutes in all, {hardware(record)}; "
        f"`{record['command']}`."
    )


def _questions(known: list[Record]) -> list[str]:
    """A table for each question, base and length that has a recorded change."""
    bases = sorted({(record["preset"], record["num_epochs"]) for record in known})
    parts = []
    for preset, epochs in bases:
        base = plan.base_config(preset, num_epochs=epochs)
        names = plan.run_names(base)
        here = [r for r in known if (r["preset"], r["num_epochs"]) == (preset, epochs)]
        for question in plan.question_names():
            experiment = plan.open_experiment(question, base)
            run_of = {v: names[config] for v, config in experiment.variants.items()}
            parts.append(_question(experiment, run_of, here))
    return parts


def _question(
    experiment: Experiment, run_of: dict[str, str], known: list[Record]
) -> str:
    """The variants that have records, with their change against the baseline."""
    found = {
        variant: _groups([r for r in known if r["variant"] == run])
        for variant, run in run_of.items()
    }
    runs = {v: next(iter(group.values())) for v, group in found.items() if group}
    if experiment.baseline not in runs or len(runs) < 2:
        return ""
    rows = {variant: _row(experiment, variant, runs[variant]) for variant in runs}
    head = (
        "variant",
        "change, paper, points",
        "change, authors' logs, points",
        "change, ours, points",
        "test error, ours, %",
        *RUN_HEAD,
    )
    table: Table = [head]
    for variant, row in rows.items():
        cells = _change_cells(row, rows[experiment.baseline])
        table.append((*cells, *run_cells(runs[variant])))
    first = next(iter(runs.values()))[0]
    title = f"### {experiment.question} `{first['preset']}`"
    return f"{title}\n\n{marked_part.table(table)}"


def _row(experiment: Experiment, variant: str, known: list[Record]) -> Row:
    runs = [RunResult(r["seed"], [r["result"]], None, True) for r in known]
    return Row(variant, experiment.targets.get(variant), runs)


def _change_cells(row: Row, base: Row) -> tuple[str, ...]:
    ours = change(row, base) if row is not base else None
    return (
        row.variant,
        signed(row.target.paper if row.target else None),
        signed(row.target.log if row.target else None),
        spread(*ours[:2], sign=True) if ours else "",
        measured([run.top1_error for run in row.runs]),
    )


def _missing(known: list[Record]) -> str:
    """What the claims lack, and the cost by the minutes of recorded runs."""
    lines = [
        f"- `{claim.name}`: {_runs(len(missing))}, about {_time(claim, known)}."
        for claim in CLAIMS
        if (missing := claim.missing(known))
    ]
    if all(record["claim"] != "alexnet2012" for record in known):
        lines.append(_IMAGENET)
    if not lines:
        return ""
    how = (
        "The runs that the claims in `experiments/claims.py` still lack, with their "
        "time on two cores.\n"
        "The changes of the network share the runs of their baseline."
    )
    return "\n".join([how, "", *lines])


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"


def _time(claim: Claim, known: list[Record]) -> str:
    minutes = sum(training.cost(known) for training in claim.missing(known))
    return f"{minutes / 60:.1f} hours" if minutes >= 60 else f"{minutes:.0f} minutes"


if __name__ == "__main__":
    PAGE.write_text(with_results(PAGE.read_text(), records.kept()))
    README.write_text(with_summary(README.read_text(), records.kept()))
