"""The ranges of numbers: none is forgotten, and a number outside is one message."""

import dataclasses
import math
import re
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Annotated, Any

import pytest
import tyro

from alexnet_jax import (
    config,
    config_checks,
    evaluate,
    features,
    main,
    predict,
    prepare,
    presets,
    visualize,
)
from alexnet_jax.config import Norm
from alexnet_jax.data import decoding
from alexnet_jax.errors import UserError
from alexnet_jax.preparation.source_images import Form
from alexnet_jax.ranges import (
    Columns,
    Fraction,
    NonNegative,
    Positive,
    Range,
    Seed,
    Signed,
)
from experiments import report, run
from experiments.cuda_convnet import figure1, train
from experiments.cuda_convnet.settings import Settings
from experiments.variants import changed

COMMANDS = (evaluate, features, predict, prepare, visualize)
EXPERIMENTS = (run, report, figure1, train)
DATACLASSES = [
    *(one for one in vars(config).values() if dataclasses.is_dataclass(one)),
    *(command.Options for command in COMMANDS + EXPERIMENTS),
    Form,
    Settings,
]


def without_range(hint: Any, ranged: bool = False) -> list[Any]:
    """The numbers in a type that have no range."""
    if hint in (int, float):
        return [] if ranged else [hint]
    kinds = typing.get_args(hint)
    if typing.get_origin(hint) is Annotated:
        has_range = any(isinstance(note, Range) for note in kinds[1:])
        return without_range(kinds[0], has_range)
    if typing.get_origin(hint) in (tuple, types.UnionType, typing.Union):
        return [one for kind in kinds for one in without_range(kind)]
    return []


def test_numbers_without_range_are_found():
    assert without_range(tuple[str, int, Positive[float]] | None) == [int]
    assert without_range(Annotated[float, "seconds"]) == [float]
    assert without_range(Positive[int] | None) == []


@pytest.mark.parametrize("kind", DATACLASSES, ids=lambda kind: kind.__qualname__)
def test_every_number_has_a_range(kind):
    hints = typing.get_type_hints(kind, include_extras=True)
    assert not {name: hint for name, hint in hints.items() if without_range(hint)}


def numbers_of(options: Any, prefix: str = "") -> list[str]:
    """Dotted names of all fields of a configuration that hold one number."""
    names = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            names += numbers_of(value, f"{prefix}{field.name}.")
        elif type(value) in (int, float):
            names.append(prefix + field.name)
    return names


NUMBERS = numbers_of(presets.ALEXNET2012)


def test_numbers_of_a_configuration():
    assert len(NUMBERS) > 100
    assert {"seed", "model.conv5.spatial_norm.beta", "run.watchdog_steps"} <= {*NUMBERS}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_every_number_is_checked(value):
    """Whichever field of a configuration has the bad number."""
    for name in NUMBERS:
        option = "--" + name.replace("_", "-")
        with pytest.raises(UserError, match=f"^{re.escape(option)} .* must be "):
            config_checks.check_config(changed(presets.ALEXNET2012, {name: value}))


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_presets_are_within_their_ranges(preset):
    config_checks.check_config(presets.PRESETS[preset])


@dataclasses.dataclass
class Bounds:
    """One range of each kind."""

    positive: Positive[int] = 1
    until: Annotated[float, Range(0, 1, open_low=True, open_high=True)] = 0.5
    fraction: Fraction = 0.5
    num_columns: Columns = 1
    seed: Seed = 0
    bias: Signed = 0.0
    padding: tuple[NonNegative[int], NonNegative[int]] = (0, 0)
    rates: tuple[tuple[str, float, NonNegative[float]], ...] = ()
    scale: Positive[float] | tuple[Positive[float], Positive[float]] = 1.0
    limit: Positive[float] | None = None


def checked(**values: Any) -> str:
    try:
        config_checks.check_ranges(Bounds(**values))
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "field, inside, outside, message",
    [
        (
            "positive",
            (1, 10**6),
            (0, 10**6 + 1),
            "greater than 0 and at most 1,000,000",
        ),
        ("until", (1e-9, 0.999), (0.0, 1.0), "greater than 0 and below 1"),
        ("fraction", (0.0, 0.999), (-1e-9, 1.0), "from 0 to below 1"),
        ("num_columns", (1, 64), (0, 65), "from 1 to 64"),
        ("seed", (0, 2**32 - 1), (-1, 2**32), "from 0 to 4,294,967,295"),
        ("bias", (-1e6, 1e6), (-1e7, 1e7), "from -1,000,000 to 1,000,000"),
        ("limit", (None, 0.1), (0.0, -0.0), "greater than 0 and at most 1,000,000"),
        ("scale", (1.0, (1.0, 2.0)), (0.0, (1.0, 0.0)), "greater than 0"),
        ("padding", ((0, 0),), ((-1, 0), (0, -1)), "from 0 to 1,000,000"),
        ("rates", ((), (("a", -1.0, 0.0),)), ((("a", 0.0, -1.0),),), "from 0"),
    ],
)
def test_bounds(field, inside, outside, message):
    for value in inside:
        assert checked(**{field: value}) == ""
    for value in outside:
        said = checked(**{field: value})
        assert said.startswith(f"--{field.replace('_', '-')} ")
        assert f"must be {message}" in said


@pytest.mark.parametrize(
    "values, message",
    [
        ({"bias": 1e7}, "--bias 10000000 must be"),
        ({"bias": math.nan}, "--bias nan must be"),
        ({"padding": (0, -1)}, "--padding 0 -1: -1 must be"),
        ({"scale": (1.0, 0.5 - 1)}, "--scale 1 -0.5: -0.5 must be"),
        ({"rates": (("a", 1.0, 0.0), ("b", 2.5, -1.0))}, "--rates a 1 0 b 2.5 -1: -1 "),
        ({"positive": 10**100}, f"--positive 1{'0' * 59}... must be"),
    ],
)
def test_values_are_shown_as_they_are_typed(values, message):
    assert checked(**values).startswith(message)


def test_the_largest_prepared_image_can_be_read():
    """`Form.image_size` says its bound without importing what decodes."""
    config_checks.check_ranges(Form(image_size=math.isqrt(decoding.MAX_PIXELS)))
    with pytest.raises(UserError, match="--image-size 9460 must be from 1 to 9,459"):
        config_checks.check_ranges(Form(image_size=math.isqrt(decoding.MAX_PIXELS) + 1))


# Arguments of each command, each an option with a number that cannot be meant.
IMPOSSIBLE = {
    main: [
        "--optimizer.learning-rate -1",
        "--optimizer.learning-rate 0",
        "--optimizer.learning-rate nan",
        "--optimizer.bias-learning-rate -0.1",
        "--optimizer.momentum 1",
        "--optimizer.momentum -0.5",
        "--optimizer.weight-decay -0.0005",
        "--optimizer.weight-decay inf",
        "--optimizer.drop-factor 0",
        "--optimizer.drop-epochs 1 -2",
        "--optimizer.max-bias-drops -1",
        "--optimizer.plateau-patience 0",
        "--optimizer.plateau-min-improvement 1",
        "--optimizer.plateau-max-drops -1",
        "--optimizer.levels 0",
        "--optimizer.levels-factor 0",
        "--optimizer.bias-levels-factor -10",
        "--optimizer.layer-rates conv1 2 -1",
        "--optimizer.layer-multipliers conv1:-1",
        "--optimizer.layer-multipliers conv1:nan",
        "--augment.color-shift-std -0.1",
        "--augment.color-shift-divisor 0",
        "--augment.color-shift-until -1",
        "--augment.pixel-scale 0",
        "--augment.pixel-scale 1 -1 1",
        "--augment.shared-by 0",
        "--model.dropout-rate 1",
        "--model.num-columns 65",
        "--model.conv1.kernel-std -0.01",
        "--model.conv2.local-norm.k 0",
        "--model.conv2.local-norm.alpha -1",
        "--model.conv2.spatial-norm.beta nan",
        "--model.conv2.spatial-norm.size 0",
        "--model.conv5.padding 0 -1",
        "--model.fc7.bias inf",
        "--model.fc7.features 1000000000",
        "--run.mesh.data 0",
        "--run.mesh.cpu-devices -1",
        "--run.mesh.cpu-devices 1000000000",
        "--run.num-workers 1000000000",
        "--run.max-minutes 0",
        "--run.watchdog-steps -1",
        "--run.keep-checkpoints 0",
        "--seed -1",
        "--num-epochs nan",
    ],
    evaluate: [
        "--batch-size 0",
        "--batch-size 1000000000",
        "--num-workers -1",
        "--mesh.cpu-devices 1000000000",
        "--weights -1",
        "--weights nan",
    ],
    predict: ["--best 0", "--batch-size -1", "--num-workers 0", "--mesh.data -2"],
    features: ["--neighbours 0", "--batch-size 0", "--num-workers 1000000000"],
    visualize: ["--count 0", "--neighbours -1", "--among 0", "--seed -1"],
    prepare: [
        "--quality 200",
        "--quality 0",
        "--image-size 0",
        "--image-size -1",
        "--image-size 1000000000",
        "--max-unreadable -1",
        "--num-workers 0",
    ],
    run: ["--num-epochs 0", "--seeds 0 -1", "--num-epochs inf"],
    report: ["--num-epochs -1"],
    figure1: ["--grid-epochs 0", "--relu-rates 0.1 -1", "--seeds -1"],
    train: ["--learning-rate 0", "--until-train-error 1", "--num-epochs -3"],
}
NEEDED = {
    prepare: ["--source", "digits"],
    features: ["--workdir", "unused", "--output", "unused.npz"],
    visualize: ["kernels", "--workdir", "unused"],
    report: ["--out", "unused"],
    figure1: ["--workdir", "unused", "--out", "unused"],
    train: ["--workdir", "unused", "--net", "80sec"],
}
CASES = [(module, typed) for module, cases in IMPOSSIBLE.items() for typed in cases]


@pytest.fixture
def no_devices(monkeypatch):
    """Keeps the devices of this process."""
    from alexnet_jax.system import devices, distributed

    monkeypatch.setattr(distributed, "start", lambda *_, **__: None)
    monkeypatch.setattr(devices, "keep_freed_memory", lambda: None)


@pytest.mark.parametrize(
    "module, typed", CASES, ids=[f"{m.__name__} {typed}" for m, typed in CASES]
)
def test_impossible_numbers(module, typed, no_devices, monkeypatch, tmp_path, capsys):
    """Code 2 and one line that repeats what was typed, before any work."""
    monkeypatch.chdir(tmp_path)
    arguments = [*NEEDED.get(module, ["--workdir", "unused"]), *typed.split()]
    if module is run:
        arguments = typed.split()
    monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
    assert module.main() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {typed}")
    assert " must be " in said.err and len(said.err.splitlines()) == 1
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "command",
    [
        "main --workdir unused --optimizer.learning-rate -1",
        "main --workdir unused --run.mesh.cpu-devices 1000000000",
        "prepare --source digits --quality 200",
        "predict --workdir unused --mesh.cpu-devices -1 photo.jpg",
    ],
)
def test_impossible_numbers_in_a_process_of_their_own(command, tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", *f"alexnet_jax.{command}".split()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert result.returncode == 2 and result.stdout == ""
    assert " must be " in result.stderr and len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_options_without_a_name_of_their_own():
    """`Form` stands among the options of prepare, without "form." before its fields."""
    options = tyro.cli(prepare.Options, args=["--quality", "101"])
    with pytest.raises(UserError, match="^--quality 101 must be from 1 to 100.$"):
        config_checks.check_ranges(options)


def test_norms_have_their_ranges_in_every_layer():
    norm = Norm(position="after_pool", beta=-1.0)
    wrong = changed(presets.DIGITS, {"model.conv4.spatial_norm": norm})
    with pytest.raises(UserError, match="^--model.conv4.spatial-norm.beta -1 must be"):
        config_checks.check_config(wrong)
