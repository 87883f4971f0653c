"""Records of finished runs: what they hold, where they go, commands that can be run."""

import dataclasses
import json
import re
import shlex

import pytest

from alexnet_jax import main, presets
from alexnet_jax.errors import UserError
from alexnet_jax.training import record, workdir
from experiments import plan


@pytest.mark.parametrize("preset", ["digits", "alexnet2012"])
def test_the_command_gives_the_configuration(preset):
    """Every variant of every question in 15 epochs, parsed by main itself."""
    base = plan.base_config(preset, num_epochs=15)
    for config in plan.run_names(base):
        program, options = record.command(config).split("alexnet_jax.main ")
        assert program == "python -m "
        parsed = main.parse([*shlex.split(options), "--workdir", "x"])
        assert parsed.config == config


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("seed", 3, "--seed 3"),
        ("num_epochs", 60.0, "--num-epochs 60"),
        ("augment.pixel_scale", 1 / 58, f"--augment.pixel-scale {1 / 58!r}"),
        ("augment.random_crop", False, "--augment.no-random-crop"),
        ("norm", True, "--norm"),
        ("optimizer.drop_epochs", [1.0, 2.5], "--optimizer.drop-epochs 1 2.5"),
    ],
)
def test_options(name, value, words):
    assert shlex.join(record.option(name, value)) == words


def test_of_a_run(digits_run):
    """The last evaluation, with a claim that names all changes but the seed."""
    found = record.of_run(digits_run)
    lines = (digits_run / "metrics.jsonl").read_text().splitlines()
    last = [r for r in map(json.loads, lines) if r["kind"] == "eval"][-1]
    assert found["result"]["top1_error"] == last["top1_error"]
    assert found["curve"][-1]["epoch"] == last["epoch"] == found["epochs"]
    assert found["claim"].startswith("digits --num-epochs ")
    assert found["minutes"] >= 0
    assert not re.search(r'"host"|"/|: "[^"]*/(tmp|home|work)/', json.dumps(found))
    assert record.of_run(digits_run, "another")["claim"] == "another"


def test_the_seed_is_no_part_of_the_claim(digits_run, tmp_path):
    config = dataclasses.replace(presets.PRESETS["digits"], seed=4)
    for file in digits_run.glob("*.json*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    workdir.write_config(tmp_path, config)
    found = record.of_run(tmp_path)
    assert (found["claim"], found["seed"]) == ("digits", 4)
    assert found["command"].endswith("--preset digits --seed 4")


@pytest.mark.parametrize("count", [0, 1, 7, 100, 101, 250, 1000])
def test_thinned(count):
    points = record.thinned(list(range(count)))
    assert len(points) <= 100 and len(points) >= min(count, 50)
    assert points[-1:] == list(range(count))[-1:]
    assert len({b - a for a, b in zip(points, points[1:], strict=False)}) <= 1


def test_to_a_file_or_a_folder(tmp_path):
    content = {"claim": "pooling/apart on cifar10, 15 epochs", "seed": 1}
    for target, expected in (
        (tmp_path / "one.json", "one.json"),
        (tmp_path / "all", "all/pooling-apart-on-cifar10-15-epochs-seed1.json"),
    ):
        record.check_writable(target)
        record.write(target, content)
        assert json.loads((tmp_path / expected).read_text()) == content
    record.check_writable(tmp_path / "all")


def test_a_target_that_cannot_be(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"notes.txt: name a file that ends in .json"):
        record.check_writable(tmp_path / "notes.txt")
    with pytest.raises(UserError, match="--record .*its folder does not exist"):
        record.check_writable(tmp_path / "missing" / "one.json")
