"""experiments.reproduce: known answers, the order of the runs, the card, a call."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet_jax import main
from alexnet_jax.errors import UserError
from alexnet_jax.system import provenance, threads
from alexnet_jax.training import record
from experiments import (
    claims,
    fine_tuning,
    known_answers,
    plan,
    report_card,
    reproduce,
    run,
)
from experiments.claims import CLAIMS, Claim, Training
from experiments.cuda_convnet import record as net_record
from experiments.cuda_convnet import train
from experiments.known_answers import KnownAnswer


def training(name, minutes, seed=0):
    return Training(
        claim=name, seed=seed, command=(name,), epochs=10, minutes=minutes, like="other"
    )


def claim(name, importance, minutes, seeds=1, low=20.0, high=30.0):
    return Claim(
        name=name,
        text=f"error of {name}",
        unit="%",
        paper="25",
        low=low,
        high=high,
        trainings=tuple(training(name, minutes, seed) for seed in range(seeds)),
        measure=claims.top1_error(name),
        importance=importance,
    )


def done(name, seed, error=0.25, **fields):
    return {
        "claim": name,
        "seed": seed,
        "result": {"top1_error": error},
        "epochs": 10,
        "minutes": 4.0,
    } | fields


@pytest.mark.parametrize(
    "name, expected",
    [
        ("parameters", 60_965_224),
        ("multiply_adds", 724_406_816),
        ("units", 659_272),
    ],
)
def test_sizes(name, expected):
    answer = next(a for a in known_answers.ANSWERS if a.name == name)
    assert answer.compute() == expected
    assert answer.holds(expected) and not answer.holds(expected + 1)


def order(known, minutes, failed=()):
    """The runs in the order in which they come, each done before the next is asked."""
    asked = [claim("late", 2, 1), claim("dear", 1, 9), claim("cheap", 1, 2, seeds=2)]
    found, known = [], list(known)
    while following := reproduce.next_training(asked, known, known, minutes, failed):
        found.append((following.claim, following.seed))
        known.append(done(following.claim, following.seed, minutes=None))
    return found


def test_the_most_telling_first_then_the_cheapest():
    everything = [("cheap", 0), ("cheap", 1), ("dear", 0), ("late", 0)]
    assert order([], minutes=100) == everything
    assert order([done("cheap", 0, minutes=None)], minutes=100) == everything[1:]
    assert order([], minutes=5) == [("cheap", 0), ("cheap", 1), ("late", 0)]
    assert order([], minutes=0.5) == []
    failed = [training("cheap", 2, seed=0)]
    assert order([], minutes=100, failed=failed) == everything[1:]


def test_costs_are_learned():
    """From runs of the same claim, else of a like one by its minutes per epoch."""
    asked = training("mine", minutes=50)
    assert asked.cost([]) == 50
    like = done("other", 0, epochs=20, minutes=60)
    assert asked.cost([like]) == 30
    own = [done("mine", seed, minutes=m) for seed, m in enumerate((4, 6, None))]
    assert asked.cost([like, *own]) == 5


def test_costs_of_other_machines_do_not_count(tmp_path):
    here = {"processor": provenance.processor(), "cores": threads.usable_cores()}
    for name, place in (("a", here), ("b", here | {"cores": 4096})):
        record.write(tmp_path / "records", done(name, 0, **place))
    assert "a" in [r["claim"] for r in reproduce.costs(tmp_path)]
    assert "b" not in [r["claim"] for r in reproduce.costs(tmp_path)]


def test_ranges():
    asked = claim("x", 1, 1, low=20, high=30)
    assert [asked.holds(v) for v in (20, 20.1, 30, 30.1)] == [False, True, True, False]
    assert asked.asked() == "20 to 30"
    assert dataclasses.replace(asked, high=math.inf).asked() == "above 20"
    assert dataclasses.replace(asked, low=-math.inf).asked() == "at most 30"


def test_the_card():
    answers = [
        KnownAnswer(name="a", text="units", low=7, high=7, compute=lambda: 7),
        KnownAnswer(name="b", text="ratio", low=1, high=2, compute=lambda: 3.0),
        KnownAnswer(
            name="c", text="loss", low=1, high=2, compute=float, needs_images=True
        ),
    ]
    asked = [claim("good", 1, 6, seeds=3), claim("bad", 1, 6), claim("none", 1, 6)]
    known = [done("good", 0, 0.24), done("good", 1, 0.26), done("bad", 0, 0.31)]
    card = report_card.table(answers, {"a": 7, "b": 3.0}, asked, known, [])
    assert card.splitlines()[2:] == [
        "| units |  |  |  | 7 | 7 | 1 | met |",
        "| ratio |  |  |  | 1 to 2 | 3.0000 | 1 | not met |",
        "| loss |  |  |  | 1 to 2 |  |  | needs --imagenet |",
        "| error of good | % | 25 |  | 20 to 30 | 25.00 ± 1.41 | 2 | "
        "met; lacks 1 of 3 runs, 6 minutes |",
        "| error of bad | % | 25 |  | 20 to 30 | 31.00 | 1 | not met |",
        "| error of none | % | 25 |  | 20 to 30 |  | 0 | "
        "lacks 1 of 1 runs, 6 minutes |",
    ]


def test_changes_are_against_the_same_seeds():
    measure = claims.change("without", "base")
    known = [done("base", 0, 0.30), done("base", 1, 0.40), done("without", 1, 0.43)]
    assert measure([*known, done("without", 2, 0.9)]) == pytest.approx([3.0])


def claim_of(asked, monkeypatch, tmp_path):
    """The claim that the program of a training writes into its record."""
    module, *words = [word.format(workdir=tmp_path) for word in asked.command]
    if module == "alexnet_jax.main":
        config = main.parse(words).config
        assert config.seed == asked.seed
        return record._claim(config)
    monkeypatch.setattr(sys, "argv", [module, *words])
    if module == "experiments.cuda_convnet.train":
        settings = reproduce.command.parse(train.Options, module, "").settings
        assert settings.seed == asked.seed
        return " ".join([settings.net, *net_record.options(settings)])
    options = reproduce.command.parse(run.Options, module, "")
    base = plan.base_config(options.preset, num_epochs=options.num_epochs)
    (only,) = plan.plan(base, options.experiment, options.seeds, tmp_path, options.only)
    assert only.seed == asked.seed
    return f"{only.name} on {options.preset}, {options.num_epochs:g} epochs"


@pytest.mark.parametrize("name", [claim.name for claim in CLAIMS])
def test_programs_write_the_claims_that_are_asked(name, monkeypatch, tmp_path):
    (found,) = [claim for claim in CLAIMS if claim.name == name]
    for asked in found.trainings:
        if asked.claim not in ("figure1", "views on cifar10", fine_tuning.CLAIM):
            assert claim_of(asked, monkeypatch, tmp_path) == asked.claim


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"claims": ("80secs",)}, "no such claim; did you mean '80sec'"),
        ({"imagenet": "nowhere"}, "there is no ILSVRC2012_img_train.tar in it"),
        ({"minutes": 0.0}, "--minutes 0"),
    ],
)
def test_mistakes(tmp_path, changes, message):
    if "imagenet" in changes:
        changes = {"imagenet": tmp_path / changes["imagenet"]}
    options = reproduce.Options(out=tmp_path / "out", **changes)
    with pytest.raises(UserError, match=message):
        reproduce.reproduce(options)
    assert not (tmp_path / "out").exists()


def test_a_whole_call(digits_dir, tmp_path, monkeypatch, capsys):
    """A run of a few steps in its own process, the card; a run that fails is left."""
    name = "digits --num-epochs 0.05"
    small = claim(name, 1, 1, low=-math.inf, high=100)
    options = "--preset digits --num-epochs 0.05 --workdir {workdir}"
    words = ("alexnet_jax.main", *options.split())
    first = dataclasses.replace(small.trainings[0], command=words)
    missing = dataclasses.replace(first, claim="never", command=("no_such_module",))
    small = dataclasses.replace(small, trainings=(missing, first))
    monkeypatch.setattr(reproduce, "CLAIMS", (small,))
    monkeypatch.setattr(reproduce, "NAMES", (name, "units"))
    options = reproduce.Options(
        claims=(name, "units"),
        out=tmp_path / "out",
        data_dir=Path(digits_dir),
        minutes=9,
    )
    card = reproduce.reproduce(options)
    assert "| 659,272 | 659,272 | 1 | met |" in card
    assert "| 1 | met; lacks 1 of 2 runs" in card
    assert "no record yet; its output: " in capsys.readouterr().out
    found = json.loads(next((options.out / "records").iterdir()).read_text())
    assert found["claim"] == name
    assert card.split("\n\n")[0] in (options.out / reproduce.CARD).read_text()
    assert reproduce.next_training([small], [found], [], 9, [missing]) is None


def test_runs_whose_records_are_kept_here(tmp_path, monkeypatch):
    """By default a claim is tried anew; with `kept` its committed runs are done."""
    monkeypatch.setattr(reproduce, "_train", lambda *_: pytest.fail("nothing to train"))
    options = reproduce.Options(out=tmp_path, claims=("80sec",), kept=True)
    card = reproduce.reproduce(options)
    assert "| 3 | met |" in card, card
    monkeypatch.setattr(reproduce, "_train", lambda *_: False)
    assert "26.9" not in reproduce.reproduce(dataclasses.replace(options, kept=False))


def test_a_run_is_asked_to_save_at_the_deadline():
    wait = "import time\ntry: print(1, flush=True), time.sleep(60)\n"
    code = wait + "except KeyboardInterrupt: print('saved')"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "1\n"
    reproduce._wait(process, deadline=0)
    assert process.communicate()[0] == "saved\n"


def test_curves_begin_with_three_evaluations(tmp_path):
    pytest.importorskip("matplotlib")
    points = [{"epoch": n, "top1_error": 1 / n} for n in (1, 2, 3)]
    assert report_card.draw([done("a", 0, curve=points[:2])], tmp_path) is None
    assert report_card.draw([done("a", 0, curve=points)], tmp_path) == "curves.png"
    assert (tmp_path / "curves.png").stat().st_size > 5000
