"""docs/results.md says what the records say; made-up records show in its tables."""

import copy
import json
import re

import numpy as np
import pytest

from experiments import (
    claims,
    fine_tuning,
    known_answers,
    marked_part,
    plan,
    records,
    results_page,
    seeds,
)
from experiments.report import signed

DIGITS = next(record for record in records.kept() if record["claim"] == "digits")
# The next record of the same claim may come from a faster machine.
DIGITS |= {"minutes": 5.7, "result": DIGITS["result"] | {"top1_error": 0.3 / 36}}


def like(**changes):
    """A record with other values; `error` is its top-1 error."""
    record = copy.deepcopy(DIGITS)
    record["result"]["top1_error"] = changes.pop("error", 0.5)
    return record | changes


def net(name, seed, error, **views):
    return like(
        claim=name,
        seed=seed,
        error=error,
        command=f"python -m experiments.cuda_convnet.train --net {name}",
        top1_error_by_views={"1": error, **views},
    )


def variant(name, seed, error):
    return like(
        claim=f"{name} on cifar10, 15 epochs",
        seed=seed,
        error=error,
        variant=name,
        preset="cifar10",
        num_epochs=15.0,
        curve=[{"epoch": n, "loss": loss} for n, loss in ((1, 2.3), (2, 2.25), (3, 2))],
    )


def test_the_page_is_what_the_records_say():
    text = results_page.PAGE.read_text()
    remedy = "run: python -m experiments.results_page"
    assert text == results_page.with_results(text, records.kept()), remedy


def test_the_readme_is_what_the_records_say():
    text = results_page.README.read_text()
    remedy = "run: python -m experiments.results_page"
    assert text == results_page.with_summary(text, records.kept()), remedy


def test_the_told_error_lies_in_the_range_of_the_seeds():
    """That of the network which comes with the package, in README."""
    text = results_page.README.read_text()
    told = float(re.search(r"([\d.]+) % \(`digits`\)", text)[1])
    row = re.search(r"\| `digits` \|.*\(([\d.]+) to ([\d.]+)\)", text)
    assert float(row[1]) <= told <= float(row[2])


def test_no_dash_stands_in_a_table():
    rows = [line for line in results_page.PAGE.read_text().splitlines() if "|" in line]
    assert rows and not [row for row in rows if re.search(r"\| *[-–—] *\|", row)]


def test_records_are_small_and_name_no_place():
    for path in sorted(records.FOLDER.glob("*.json")):
        text = path.read_text()
        assert len(text) < 50_000, path.name
        assert '"host"' not in text and not re.search(r'"/|[ =]/\w', text), path.name
        record = json.loads(text)
        for part in ("claim", "command", "seed", "commit", "processor", "cores"):
            assert part in record, (path.name, part)


def test_several_seeds():
    """Mean, sample deviation and range by hand."""
    of_three = seeds.spread([1.0, 2.0, 3.0], extremes=True)
    assert of_three == "2.00 ± 1.00 (1.00 to 3.00)"
    assert seeds.spread([1.25]) == "1.25" and seeds.spread([]) == ""
    assert seeds.spread([-0.09, 0.09], sign=True) == "+0.00 ± 0.13"
    known = [DIGITS, like(claim="digits", seed=1, error=0.02)]
    page = results_page.sections(known)
    assert "| 1.42 ± 0.82 (0.83 to 2.00) | 360 | 2 | 40 | 5.7 |" in page
    assert "--preset digits --workdir runs/`" in page and "--seed" not in page


def test_a_second_record_of_a_seed_does_not_count():
    known = [DIGITS, like(claim="digits", seed=0, error=0.9)]
    assert records.of_claim(known, "digits") == [DIGITS]


def test_nets_have_their_views():
    known = [net("80sec", seed, error) for seed, error in ((0, 0.26), (1, 0.27))]
    page = results_page.sections(known)
    assert "| `80sec` | 26 | 26.50 ± 0.71 (26.00 to 27.00) | 2 |" in page
    assert "9 views" not in page
    known.append(net("conv-local-11pct", 0, 0.13, **{"9": 0.12, "10": 0.115}))
    page = results_page.sections(known)
    assert "| `80sec` | 26 | 26.50 ± 0.71 (26.00 to 27.00) |  |  | 2 |" in page
    assert "| `conv-local-11pct` |  | 13.00 | 12.00 | 11.50 | 1 |" in page


def test_views():
    found = net("views on cifar10", 0, 0.2, **{"10": 0.18})
    found |= {"command": "python -m experiments.views --network cifar10"}
    found |= {"trained_by": "python -m alexnet_jax.main --preset cifar10"}
    page = results_page.sections([found])
    assert "| `digits` | 20.00 | 18.00 | 2.00 | 1.5 | 1 | 5.7 |" in page


def test_questions_have_changes_against_the_same_seeds():
    known = [variant("base", 0, 0.3), variant("base", 1, 0.32)]
    assert "## Changes of the network" not in results_page.sections(known)
    known += [variant("pooling/apart", 0, 0.31), variant("pooling/apart", 1, 0.35)]
    page = results_page.sections(known)
    table = page.split("## Changes of the network")[1].split("\n\n")[2].splitlines()
    assert [line.split(" | ")[:6] for line in table[2:]] == [
        ["| `base`", "", "", "", "31.00 ± 1.41", "3, 3"],
        ["| `pooling/apart`", "+0.40", "+0.39", "+2.00 ± 1.41", "33.00 ± 2.83", "3, 3"],
    ]
    assert "--experiment pooling --seeds 0 1`" in page
    assert "368,842 parameters" in page and "15 of the preset's 30 epochs" in page


def test_a_change_within_its_spread_shows_nothing():
    """The page and the card of `reproduce` have the same words."""
    known = [variant("base", seed, 0.3) for seed in (0, 1)]
    for changes, expected in (
        ((0.01, 0.02), "| above 0 | +1.50 ± 0.71 | 2 | met |"),
        ((0.0009, -0.0009), "| above 0 | +0.00 ± 0.13 | 2 | within the spread |"),
        ((-0.02, -0.01), "| above 0 | -1.50 ± 0.71 | 2 | not met |"),
    ):
        changed = [
            variant("pooling/apart", seed, 0.3 + change)
            for seed, change in enumerate(changes)
        ]
        assert expected in results_page.sections([*known, *changed])


def test_known_answers_have_their_place():
    """Those that have been computed."""
    values = {"units": 659_272, "bytes_between_columns": 1.5}
    page = results_page.sections([like(claim=known_answers.CLAIM, values=values)])
    assert "| 650,000 | 659,272 | 659,272 | 1 | met |" in page
    assert "| 1 to 1.05 | 1.5000 | 1 | not met |" in page
    assert "first loss" not in page


def test_figure1():
    run = {"activation": "relu", "learning_rate": 0.004, "seed": 0}
    figure = like(
        claim="figure1",
        command="python -m experiments.cuda_convnet.figure1",
        seeds=[0],
        net="19pct",
        grid_epochs=3,
        grid=[run | {"top1_error": 0.31}],
        runs=[run | {"epochs": 5.83}],
        result={"ratio": 7.1},
    )
    page = results_page.sections([figure])
    assert "| relu | 0.004 | 31.00 |" in page
    assert "| relu | 0.004 | 0 | 5.83 |" in page
    assert "over those of ReLU: 7.10;" in page


def test_fine_tuning():
    """Both runs of each seed, after one epoch and at the end."""

    def tuned(seed, scratch, start):
        curves = {
            name: [{"epoch": e, "top1_error": error} for e, error in enumerate(errors)]
            for name, errors in (("scratch", scratch), ("start", start))
        }
        return like(
            claim=fine_tuning.CLAIM,
            command="python -m experiments.fine_tuning",
            seed=seed,
            error=start[0],
            scratch={"top1_error": scratch[0]},
            curves=curves,
        )

    known = [tuned(0, (0.8, 0.2), (0.5, 0.1)), tuned(1, (0.7, 0.2), (0.5, 0.1))]
    page = results_page.sections(known)
    assert "| initial values | 75.00 ± 7.07 (70.00 to 80.00) | 20.00 ± 0.00" in page
    assert "| network `cifar10` | 50.00 ± 0.00 (50.00 to 50.00) | 10.00" in page
    np.testing.assert_allclose(fine_tuning.changes(known), [-30, -20])


def test_what_is_missing_and_its_cost():
    """By the minutes per epoch of the runs that it is like, where they are known."""
    page = results_page.sections([DIGITS])
    assert "- `digits`: 4 runs, about 23 minutes." in page  # 4 x 5.7
    assert "- `19pct`: 1 run, about 1.8 hours." in page
    assert "- `pooling/apart`: 4 runs, about 3.0 hours." in page  # 4 x 45
    slow = like(claim="cifar10", epochs=30, minutes=120.0)
    page = results_page.sections([DIGITS, slow])
    assert "- `pooling/apart`: 4 runs, about 3.5 hours." in page  # 2 x (60 + 45)
    seeds = [like(claim="digits", seed=seed) for seed in range(5)]
    assert "- `digits`" not in results_page.sections(seeds)
    assert "took 0.9 CPU hours" in results_page.sections(seeds)  # 5 x 5.7 x 2 cores


def test_claims_are_about_runs_that_exist():
    """Changes of the network are variants of their questions, with their targets."""
    base = plan.base_config("cifar10", num_epochs=claims.EPOCHS)
    names = set(plan.run_names(base).values())
    for claim in claims.CLAIMS:
        for training in claim.trainings:
            run, on, _ = training.claim.partition(" on cifar10, 15 epochs")
            assert not on or run in names
        if "/" in claim.name:
            question, name = claim.name.split("/")
            target = plan.open_experiment(question, base).targets.get(name)
            printed = f"{target.paper:+.1f}" if target else ""
            assert claim.paper == printed
            assert claim.authors == (signed(target.log) if target else "")


def test_a_page_without_markers():
    with pytest.raises(ValueError):
        marked_part.replaced("no markers", "experiments.results_page", "")
