"""experiments.reproduce: known answers, the order of the runs, the card, a call."""

import dataclasses
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from alexnet_jax import main
from alexnet_jax.errors import UserError
from alexnet_jax.system import provenance
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
from experiments.claim import Claim, Training
from experiments.claims import CLAIMS
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


def order(known, minutes, failed=(), begun=()):
    """The runs in the order in which they come, each done before the next is asked."""
    asked = [claim("late", 2, 1), claim("dear", 1, 9), claim("cheap", 1, 2, seeds=2)]
    found, known = [], list(known)
    while following := reproduce.next_training(
        asked, known, known, minutes, failed, begun
    ):
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
    begun = [training("dear", 9)]
    assert order([], minutes=0.5, begun=begun) == [("dear", 0)]


def test_costs_are_learned():
    """From runs of the same claim, else of a like one by its minutes per epoch."""
    asked = training("mine", minutes=50)
    assert asked.cost([]) == 50
    like = done("other", 0, epochs=20, minutes=60)
    assert asked.cost([like]) == 30
    own = [done("mine", seed, minutes=m) for seed, m in enumerate((4, 6, 90, None))]
    assert asked.cost([like, *own]) == 6


def test_costs_of_other_machines_do_not_count(tmp_path):
    here = provenance.of_result()
    for name, other in (
        ("a", {}),
        ("b", {"cores": 4096}),
        ("c", {"xla_flags": "--another"}),
        ("d", {"versions": {"jax": "0.0.1"}}),
    ):
        record.write(tmp_path / "records", done(name, 0, **(here | other)))
    found = {r["claim"] for r in reproduce.costs(tmp_path)}
    assert found & set("abcd") == {"a"}


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
    values = {"a": 7, "b": 3.0}
    rows = [
        report_card.of_answer(answer, values.get(answer.name)) for answer in answers
    ]
    for one in asked:
        row = report_card.of_claim(one, known)
        rows.append(report_card.with_lack(row, one, known, []))
    assert report_card.lack_in_all([*asked, asked[0]], known, []) == (
        "In all 2 runs missing, 12 minutes."
    )
    assert report_card.lack_in_all([asked[1]], known, []) == ""
    head, *lines = report_card.aligned(rows).splitlines()
    assert head.index("met") == lines[0].index("met") == lines[3].index("met; lacks")
    assert report_card.markdown(rows).splitlines()[2:] == [
        "| units |  |  | 7 | 7 | 1 | met |",
        "| ratio |  |  | 1 to 2 | 3.0000 | 1 | not met |",
        "| loss |  |  | 1 to 2 |  |  | needs --imagenet |",
        "| error of good | % | 25 | 20 to 30 | 25.00 ± 1.41 | 2 | "
        "met; lacks 1 of 3 runs, 6 minutes |",
        "| error of bad | % | 25 | 20 to 30 | 31.00 | 1 | not met |",
        "| error of none | % | 25 | 20 to 30 |  | 0 | lacks 1 of 1 runs, 6 minutes |",
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
    card, have_failed = reproduce.reproduce(options)
    assert have_failed
    assert re.search(r"units .* 659,272 +659,272 +1 +met", card)
    log = options.out / "logs" / "never-seed0.log"
    assert (
        f"met; lacks 1 of 2 runs, 1 minutes; failed with code 1; its output: {log}"
        in (card)
    )
    assert str(log) in capsys.readouterr().out and "no_such_module" in log.read_text()
    found = json.loads(
        (options.out / "records" / record.file_name(name, 0)).read_text()
    )
    assert found["claim"] == name
    assert (
        "| 659,272 | 659,272 | 1 | met |" in (options.out / reproduce.CARD).read_text()
    )
    assert reproduce.next_training([small], [found], [], 9, [missing]) is None


def test_known_answers_of_the_same_commit_are_kept(tmp_path, monkeypatch):
    """Not those of a modified source or of no commit."""
    computed = []
    answer = KnownAnswer(
        name="a", text="", low=0, high=9, compute=lambda: computed.append(1) or 7
    )
    for commit, times in (("abc", 1), ("def", 2), ("def+", 4), (None, 6)):
        monkeypatch.setattr(known_answers.provenance, "commit", lambda c=commit: c)
        for _ in range(2):
            values = known_answers.values([answer], None, tmp_path / "a.json")
            assert values == {"a": 7}
        assert len(computed) == times
    assert known_answers.values([], None, tmp_path / "b.json") == {}
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError("the disk is full")])
def test_a_stopped_call_leaves_its_card(tmp_path, monkeypatch, stop):
    def train(*_):
        raise stop

    monkeypatch.setattr(reproduce, "_train", train)
    with pytest.raises(type(stop) if isinstance(stop, OSError) else stop):
        reproduce.reproduce(reproduce.Options(out=tmp_path, claims=("80sec",)))
    assert "lacks 3 of 3 runs" in (tmp_path / reproduce.CARD).read_text()


def test_a_card_without_matplotlib(tmp_path, monkeypatch):
    """A machine that only trains need not have it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    options = reproduce.Options(out=tmp_path, claims=("80sec",), kept=True)
    card, _ = reproduce.reproduce(options)
    assert "no learning curves: figures need matplotlib" in card
    assert "| 3 | met |" in (tmp_path / reproduce.CARD).read_text()


def test_runs_whose_records_are_kept_here(tmp_path, monkeypatch):
    """By default a claim is tried anew; with `kept` its committed runs are done."""
    monkeypatch.setattr(reproduce, "_train", lambda *_: pytest.fail("nothing to train"))
    options = reproduce.Options(out=tmp_path, claims=("80sec",), kept=True)
    card, have_failed = reproduce.reproduce(options)
    assert re.search(r" 3 +met$", card, re.M) and not have_failed
    monkeypatch.setattr(reproduce, "_train", lambda *_: reproduce.SAVED)
    card, have_failed = reproduce.reproduce(dataclasses.replace(options, kept=False))
    assert "26.9" not in card and reproduce.SAVED in card and not have_failed


SLEEPER = """
import sys, time
try:
    print(1, flush=True), time.sleep(60)
except KeyboardInterrupt:
    print("saved")
    sys.exit(75)
"""


def sleeper():
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "1\n"
    return process


def test_a_run_is_asked_to_save_at_the_deadline():
    process = sleeper()
    assert reproduce._wait(process, deadline=0) == 75
    assert process.communicate()[0] == "saved\n"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_stop_reaches_the_run(name):
    """Else a closed terminal would leave a run without its command."""
    process = sleeper()
    timer = threading.Timer(0.2, os.kill, (os.getpid(), getattr(signal, name)))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        reproduce._wait(process, deadline=time.monotonic() + 60)
    assert process.communicate()[0] == "saved\n" and process.returncode == 75


def test_curves_begin_with_three_evaluations(tmp_path):
    pytest.importorskip("matplotlib")
    points = [{"epoch": n, "top1_error": 1 / n} for n in (1, 2, 3)]
    what = {"command": "python -m experiments.run", "dataset": "cifar10"}
    short, whole = (done("a", 0, curve=curve, **what) for curve in (points[:2], points))
    assert report_card.draw([short], tmp_path) is None
    assert report_card.draw([short, whole], tmp_path) == "curves.png"
    assert (tmp_path / "curves.png").stat().st_size > 5000
