"""The tables of docs/results.md on single networks, with the commands of the runs."""

from experiments import fine_tuning, records
from experiments.claims import CLAIMS
from experiments.marked_part import Table, filled_table
from experiments.records import Record
from experiments.run_cells import RUN_HEAD, hardware, minutes, run_cells
from experiments.seeds import spread

_MAIN = "python -m alexnet_jax.main"
_VIEWS = "python -m experiments.views"
_NETS = "python -m experiments.cuda_convnet.train"
_PAPERS_GAIN = next(claim.paper for claim in CLAIMS if claim.name == "views")


def groups(known: list[Record]) -> dict[str, list[Record]]:
    """Records by claim, one for each seed."""
    return {r["claim"]: records.of_claim(known, r["claim"]) for r in known}


def _of(known: list[Record], program: str) -> list[list[Record]]:
    """The groups of a program, without the runs of questions."""
    here = [r for r in known if r["command"].startswith(program)]
    return list(groups([r for r in here if "variant" not in r]).values())


def main_table(known: list[Record]) -> str:
    rows: Table = [("network", "command", "test error, %", "images", *RUN_HEAD)]
    for runs in _of(known, _MAIN):
        rows.append(
            (
                f"`{runs[0]['claim']}`",
                f"`{_without_seed(runs[0]['command'])} --workdir runs/`",
                spread(_errors(runs), extremes=True),
                f"{runs[0]['result']['examples']:,}",
                *run_cells(runs),
            )
        )
    return filled_table(rows)


def _without_seed(command: str) -> str:
    before, _, after = command.partition(" --seed ")
    return before + after[len(after.split(" ")[0]) :]


def _errors(runs: list[Record], views: str = "1") -> list[float]:
    return list(records.errors(runs, views).values())


def nets_table(known: list[Record]) -> str:
    views = ("1", "9", "10")
    ours = (f"ours, {count} views, %" for count in views[1:])
    rows: Table = [("net", "authors, %", "ours, centre view, %", *ours, *RUN_HEAD)]
    authors = {claim.name: claim.authors for claim in CLAIMS}
    for runs in _of(known, _NETS):
        claim = runs[0]["claim"]
        errors = [spread(_errors(runs, n), extremes=True) for n in views]
        rows.append((f"`{claim}`", authors.get(claim, ""), *errors, *run_cells(runs)))
    return _with_command(filled_table(rows), f"{_NETS} --net NET --workdir runs/NET")


def views_table(known: list[Record]) -> str:
    head = ("network", "centre view, %", "ten views, %", "gain, points")
    head += ("gain, paper, points", "n", "minutes of evaluation", "hardware")
    rows: Table = [head]
    for runs in _of(known, _VIEWS):
        one, ten = (_errors(runs, views) for views in ("1", "10"))
        gains = [before - after for before, after in zip(one, ten, strict=True)]
        cells = (spread(values, extremes=True) for values in (one, ten, gains))
        network = f"`{runs[0]['dataset']}`"
        where = (_PAPERS_GAIN, str(len(runs)), minutes(runs), hardware(runs))
        rows.append((network, *cells, *where))
    return _with_command(filled_table(rows), f"{_VIEWS} --network NETWORK")


def tuning_table(known: list[Record]) -> str:
    """The errors with the start and without, after one epoch and at the end."""
    runs = records.of_claim(known, fine_tuning.CLAIM)
    if not runs:
        return ""
    epochs = f"{runs[0]['epochs']:.0f}"
    head = ("digits, from", "error after one epoch, %", f"after {epochs} epochs, %")
    rows: Table = [head]
    for start, name in (("initial values", "scratch"), ("network `cifar10`", "start")):
        errors = [
            [100 * r["curves"][name][place]["top1_error"] for r in runs]
            for place in (0, -1)
        ]
        rows.append((start, *(spread(values, extremes=True) for values in errors)))
    how = (
        f"n = {len(runs)}; the two runs of a seed took {minutes(runs)} minutes "
        f"together (median), {hardware(runs)}."
    )
    command = "python -m experiments.fine_tuning --workdir runs/fine_tuning"
    return _with_command(f"{filled_table(rows)}\n\n{how}", command)


def _with_command(text: str, command: str) -> str:
    return f"{text}\n\n`{command}`" if text else ""


def figure1(known: list[Record]) -> str:
    """The grid, the long runs and the ratio of each record of Figure 1."""
    return "\n\n".join(_figure1(r) for r in known if r["claim"] == "figure1")


def _figure1(record: Record) -> str:
    head = ("activation", "learning rate")
    of_grid = f"training error after {record['grid_epochs']} epochs, %"
    grid: Table = [(*head, of_grid)]
    for run in record["grid"]:
        error = run["top1_error"]
        shown = "diverged" if error is None else f"{100 * error:.2f}"
        grid.append((run["activation"], f"{run['learning_rate']:g}", shown))
    long_runs: Table = [(*head, "seed", "epochs to 25 %")]
    for run in record["runs"]:
        reached = run["epochs"]
        shown = "not reached" if reached is None else f"{reached:.2f}"
        rate = f"{run['learning_rate']:g}"
        long_runs.append((run["activation"], rate, str(run["seed"]), shown))
    figure = "![Training error by epoch, ReLU and tanh](results/figure1.png)"
    return "\n\n".join(
        [filled_table(grid), filled_table(long_runs), _ratio(record), figure]
    )


def _ratio(record: Record) -> str:
    ratio = record["result"]["ratio"]
    found = "not reached" if ratio is None else f"{ratio:.2f}"
    return (
        f"Epochs of tanh over those of ReLU: {found}; the paper reports six. "
        f"`{record['net']}`, n = {len(record['seeds'])}, {minutes([record])} minutes "
        f"in all, {hardware([record])}.\n\n"
        f"`{record['command']} --workdir runs/figure1 --out runs/figure1`"
    )
