"""experiments: every variant builds, counts and trains; plan, report, table."""

import csv
import dataclasses
import json
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax import (
    augment,
    columns,
    config_checks,
    model,
    optimizer,
    presets,
    train,
    train_step,
)
from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import UserError
from alexnet_jax.system import lock
from experiments import figures, plan, questions, questions_table, report, results, run
from experiments.variants import changed, differences, shortened

QUESTIONS = plan.question_names()
BASES = ("digits", "cifar10", "tiny_imagenet", "alexnet2012")


def all_variants(base):
    for name in QUESTIONS:
        for variant, config in plan.open_experiment(name, base).variants.items():
            yield f"{name}/{variant}", config


FULL = dict(all_variants(presets.ALEXNET2012))
RUNS = {name: config for config, name in plan.run_names(presets.ALEXNET2012).items()}


def parameters(config):
    size = config.augment.crop_size
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    net = model.AlexNet(config.model)
    return jax.eval_shape(
        lambda key, x: net.init(key, x, train=False), jax.random.key(0), image
    )["params"]


def count(config):
    return sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(parameters(config)))


@pytest.mark.parametrize("preset", BASES)
def test_every_variant_is_valid(preset):
    for _, config in all_variants(plan.base_config(preset)):
        config_checks.check_config(config)


@pytest.mark.parametrize(
    "variant, expected",
    [
        ("columns/two_columns", 60_965_224),
        ("columns/one_column", 59_798_312),
        ("columns/ungrouped", 62_378_344),
        # Pooling has no parameters, and 147's padding keeps the 6x6 maps.
        ("pooling/apart", 60_965_224),
        ("response_norm/none", 60_965_224),
    ],
)
def test_counts(variant, expected):
    assert count(FULL[variant]) == expected


def test_map_sizes_of_147():
    sizes = config_checks.map_sizes(FULL["pooling/apart"].model, 224)
    assert [sizes[f"conv{n}"] for n in (1, 2, 5)] == [(55, 28), (26, 13), (11, 6)]


@pytest.mark.parametrize("variant", FULL)
def test_every_variant_makes_a_training_step(variant):
    """Shapes and dtypes of loss and gradients; nothing is computed."""
    config = FULL[variant]
    params = parameters(config)
    view = jax.ShapeDtypeStruct((8, 224, 224, 3), jnp.float32)
    label = jax.ShapeDtypeStruct((8,), jnp.int32)

    def loss(params, view, label, key):
        return train_step.loss_fn(params, view, label, key, config=config)[0]

    gradients = jax.eval_shape(jax.grad(loss), params, view, label, jax.random.key(0))
    assert jax.tree.map(lambda x: x.shape, gradients) == jax.tree.map(
        lambda x: x.shape, params
    )


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_experiment_says_what_it_is(name):
    module = __import__(f"experiments.questions.{name}", fromlist=["variants"])
    for part in ("Question: ", "Paper: ", "Fixed: ", "Varies: ", "Cost: ", "Command: "):
        assert part in module.__doc__
    experiment = plan.open_experiment(name, presets.ALEXNET2012)
    assert next(iter(experiment.variants)) == experiment.baseline
    assert experiment.question.endswith("?")
    assert f"--experiment {name}" in module.__doc__
    assert set(experiment.targets) <= set(experiment.variants)
    assert len(set(experiment.variants.values())) == len(experiment.variants)


def test_targets_are_differences_of_the_logs():
    """Computed from the logged errors; the baseline is 40.664 % (configuration 145)."""
    logged = {
        ("pooling", "apart"): 41.058 - 40.664,
        ("response_norm", "none"): 42.034 - 40.664,
        ("response_norm", "none_in_layer2"): 40.488 - 40.664,
        ("response_norm", "before_relu"): 41.096 - 40.664,
        ("columns", "separate_until_fc8"): 41.828 - 40.664,
        ("columns", "one_column"): 39.168 - 37.4727,
        ("schedules", "levels_of_170"): 40.528 - 40.664,
        ("batch_size", "batch_256"): 42.27 - 42.340,
    }
    for (name, variant), expected in logged.items():
        target = plan.open_experiment(name, presets.ALEXNET2012).targets[variant]
        assert target.log == pytest.approx(expected, abs=1e-3)


def test_changes_and_differences():
    base = presets.ALEXNET2012
    config = changed(base, {"model.conv1.pool.window": 2, "batch_size": 3})
    assert differences(base, config) == {
        "batch_size": (128, 3),
        "model.conv1.pool.window": (3, 2),
    }


@pytest.mark.parametrize(
    "name, near",
    [
        ("model.conv1.pool.windw", "model.conv1.pool.window"),
        ("conv1.pool.window", "model.conv1.pool.window"),
        ("optimizer.weight_decai", "optimizer.weight_decay"),
        ("batch_size.x", "batch_size"),
        ("model.num_classes", "model.num_columns"),  # a property, not a field
    ],
)
def test_a_misspelt_field_is_refused(name, near):
    with pytest.raises(UserError, match=f"no field '{name}'; did you mean '{near}'"):
        changed(presets.ALEXNET2012, {name: 1})


def test_a_field_like_no_other_is_refused():
    with pytest.raises(UserError, match="no field 'xyz'.$"):
        changed(presets.ALEXNET2012, {"xyz": 1})


def test_a_shortened_run_has_the_same_schedule_in_proportion():
    base = presets.ALEXNET2012
    short = shortened(base, 9.1)
    for epoch in (0, 24, 26, 50, 60, 70, 80, 90):
        expected, actual = (
            optimizer.learning_rates(
                jnp.float32(at),
                jnp.int32(0),
                num_epochs=config.num_epochs,
                settings=config.optimizer,
            )
            for at, config in ((epoch, base), (epoch / 10, short))
        )
        np.testing.assert_allclose(actual, expected, rtol=1e-6)
    assert short.augment.color_shift_until == pytest.approx(6.7)


NEW_QUESTION = """\
from experiments.variants import changed

PAPER_SECTION = "2"
TARGETS = {}


def variants(base):
    return {"stored": base, "squashed": changed(base, {"data.squash": True})}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder whose files are questions, beside those of the repository."""
    monkeypatch.setattr(questions, "__path__", [*questions.__path__, str(tmp_path)])
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"experiments.questions.{path.stem}", None)


def test_a_new_question_is_one_file(folder):
    """It is planned and listed, and the names of other runs do not change."""
    before = plan.run_names(presets.DIGITS)
    docstring = '"""Question: Does the shape matter?"""\n'
    (folder / "aspect_ratio.py").write_text(docstring + NEW_QUESTION)
    assert plan.question_names() == tuple(sorted([*QUESTIONS, "aspect_ratio"]))
    names = plan.run_names(presets.DIGITS)
    assert before.items() < names.items()
    assert set(names.values()) - set(before.values()) == {"aspect_ratio/squashed"}
    assert "| Does the shape matter? | [`aspect_ratio`]" in questions_table.table()


def test_a_question_that_lacks_a_part_is_refused(folder):
    (folder / "empty_question.py").write_text('"""Question: Is this one?"""\n')
    with pytest.raises(UserError, match="empty_question.py lacks PAPER_SECTION, TARG"):
        plan.open_experiment("empty_question", presets.DIGITS)


def test_the_page_has_the_table_of_questions():
    text = questions_table.PAGE.read_text()
    remedy = "run: python -m experiments.questions_table"
    assert text == questions_table.with_table(text), remedy
    for name in QUESTIONS:
        assert f"(../experiments/questions/{name}.py)" in questions_table.table()


@pytest.mark.parametrize("module", [run, report])
def test_a_misspelt_experiment_is_a_mistake(module, tmp_path, monkeypatch, capsys):
    options = ["--experiment", "poling", "--workdir", str(tmp_path)]
    if module is report:
        options += ["--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["command", *options])
    assert module.main() == 2
    message = (
        "error: there is no experiment 'poling'; did you mean 'pooling'? See --help.\n"
    )
    assert capsys.readouterr().err == message
    assert not list(tmp_path.iterdir())


def test_dry_run_imports_no_jax():
    code = (
        "import sys; from experiments import run; "
        "sys.argv = ['run', '--dry-run']; code = run.main(); "
        "sys.exit(code or 'jax' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=questions_table.PAGE.parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    for name in QUESTIONS:
        assert f"\n{name}: " in f"\n{result.stdout}"


def test_equal_configurations_run_once(tmp_path):
    base = plan.base_config("alexnet2012")
    runs = plan.plan(base, QUESTIONS, (0, 1), tmp_path, "*")
    configs = [planned.config for planned in runs]
    assert len(set(configs)) == len(configs) == 2 * len(set(FULL.values()))
    assert len({planned.directory for planned in runs}) == len(runs)


def test_only(tmp_path):
    base = plan.base_config("digits")
    runs = plan.plan(base, ["depth"], (0, 1), tmp_path, "depth/*conv?/1")
    names = [planned.name for planned in runs]
    assert names == [f"depth/without_conv{n}" for n in (3, 4, 5)]
    with pytest.raises(UserError, match="matches no run"):
        plan.plan(base, ["depth"], (0,), tmp_path, "width/*")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digits_dir):
    """The smoke size of one experiment, one of its runs taken by another process."""
    workdir = tmp_path_factory.mktemp("experiments")
    options = run.Options(
        experiment=("pooling", "recipe"),
        preset="digits",
        data_dir=digits_dir,
        workdir=workdir,
        only="pooling/*",
        smoke=True,
    )
    taken = workdir / "digits-smoke" / "pooling-apart" / "seed0"
    taken.mkdir(parents=True)
    held = lock.Lock(taken)
    summary = run.run(options)
    held.release()
    assert summary.startswith("1 runs done, 1 running elsewhere")
    assert not (taken / "metrics.jsonl").exists()
    assert run.run(options).startswith("2 runs done, in")
    return options


def test_records_of_runs(digits_dir, tmp_path):
    """With the variant, the base and the planned epochs."""
    options = run.Options(
        experiment=("pooling",),
        preset="digits",
        data_dir=digits_dir,
        workdir=tmp_path / "runs",
        num_epochs=0.05,
        only="pooling/apart/0",
        record=tmp_path / "records",
    )
    run.run(options)
    (apart,) = (tmp_path / "records").iterdir()
    assert apart.name == "pooling-apart-on-digits-0.05-epochs-seed0.json"
    found = json.loads(apart.read_text())
    assert (found["variant"], found["preset"]) == ("pooling/apart", "digits")
    assert found["num_epochs"] == 0.05
    assert "--model.conv1.pool.window 2" in found["command"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"smoke": True}, "no result to keep"),
        ({"record": "one.json"}, "name a folder"),
        ({"record": "missing/records"}, "its folder does not exist"),
    ],
)
def test_records_that_cannot_be(tmp_path, changes, message):
    changes = {"record": "records"} | changes
    changes["record"] = tmp_path / changes["record"]
    options = run.Options(preset="digits", workdir=tmp_path / "runs", **changes)
    with pytest.raises(UserError, match=message):
        run.run(options)
    assert not (tmp_path / "runs").exists()


def test_a_run_that_diverged_is_noted(trained, monkeypatch, capsys):
    def diverge(*arguments):
        raise FloatingPointError("loss is nan at step 3")

    monkeypatch.setattr(train, "train_and_evaluate", diverge)
    options = dataclasses.replace(trained, only="recipe/std_of_text/*")
    run.run(options)
    assert "diverged: loss is nan" in capsys.readouterr().out
    run.run(options)
    assert "skipped, it diverged: loss is nan" in capsys.readouterr().out


def test_dry_run_trains_nothing(tmp_path):
    options = run.Options(
        experiment=("pooling",), preset="digits", workdir=tmp_path / "x", dry_run=True
    )
    text = run.run(options)
    assert "pooling/overlapping (is base)" in text
    assert "model.conv1.pool.window: 3 -> 2" in text
    assert not (tmp_path / "x").exists()


def test_report(trained, tmp_path):
    """The table has what metrics.jsonl says; other experiments are dashes."""
    text = report.report(
        report.Options(
            preset="digits",
            workdir=trained.workdir,
            experiment=("pooling", "depth"),
            smoke=True,
            out=tmp_path,
        )
    )
    with (tmp_path / "report.csv").open(newline="") as file:
        rows = {(r["experiment"], r["variant"]): r for r in csv.DictReader(file)}
    errors = []
    for name in ("base", "pooling-apart"):
        path = trained.workdir / "digits-smoke" / name / "seed0" / "metrics.jsonl"
        record = json.loads(path.read_text().splitlines()[-1])
        errors.append(100 * record["top1_error"])
    apart = rows["pooling", "apart"]
    assert apart["top-1 error, ours (%)"] == f"{errors[1]:.2f}"
    assert apart["change, ours (points)"] == f"{errors[1] - errors[0]:+.2f}"
    assert apart["change, paper (points)"] == "+0.40"
    assert apart["change, authors' logs (points)"] == "+0.39"
    assert (apart["n"], apart["epochs"][:3]) == ("1", "0.0")
    assert rows["depth", "without_conv4"]["top-1 error, ours (%)"] == "-"
    assert "Short runs: 0.05 of 40 epochs" in text
    assert "![pooling-change.png]" in text
    assert (tmp_path / "pooling-change.png").stat().st_size > 5000
    assert not (tmp_path / "pooling-curves.png").exists()  # one evaluation


def test_report_of_nothing(tmp_path):
    """Says what runs there are, and writes nothing."""
    options = report.Options(
        preset="digits", workdir=tmp_path / "runs", out=tmp_path / "out"
    )
    with pytest.raises(UserError, match="nothing has been run on this base[.]"):
        report.report(options)
    directory = options.workdir / "digits" / "pooling-apart" / "seed1"
    directory.mkdir(parents=True)
    line = {"kind": "eval", "epoch": 5.0, "step": 60, "loss": 1.0, "top1_error": 0.5}
    (directory / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(UserError, match="reached 40 epochs in (.|\n)*seed1: 5 epochs"):
        report.report(options)
    other = dataclasses.replace(options, preset="cifar10")
    with pytest.raises(UserError, match="there are runs on digits[.]"):
        report.report(other)
    assert not options.out.exists()


@pytest.mark.parametrize("count, expected", [(2, False), (3, True)])
def test_curves_from_three_evaluations_on(tmp_path, count, expected):
    pytest.importorskip("matplotlib")
    experiment = plan.open_experiment("pooling", presets.DIGITS)
    evaluations = [{"epoch": n, "top1_error": 0.5 + n / 9} for n in range(count)]
    rows = [results.Row("apart", None, [results.RunResult(0, evaluations, None, True)])]
    assert (
        "pooling-curves.png" in figures.draw(experiment, rows, tmp_path)
    ) == expected
    if expected:
        axes = figures._curves(experiment, rows).axes[0]
        assert axes.get_xlim()[0] == axes.get_ylim()[0] == 0
        assert axes.get_legend().get_texts()[0].get_text() == "apart, n = 1"


def test_unfinished_runs_are_flagged():
    runs = [
        results.RunResult(
            seed, [{"epoch": epoch, "top1_error": 0.5}], None, epoch == 40
        )
        for seed, epoch in enumerate((40, 40, 7.0))
    ]
    assert report._epochs(results.Row("apart", None, runs)) == "40; unfinished: 7"
    assert report._epochs(results.Row("apart", None, [])) == "-"


@pytest.mark.parametrize("name", QUESTIONS)
def test_smoke_of_every_experiment(name, digits_dir, tmp_path):
    """A few steps of its last variant, and the report on it."""
    last = list(plan.open_experiment(name, presets.DIGITS).variants)[-1]
    options = run.Options(
        experiment=(name,),
        preset="digits",
        data_dir=digits_dir,
        workdir=tmp_path,
        only=f"{name}/{last}/0",
        smoke=True,
    )
    assert run.run(options).startswith("1 runs done")
    text = report.report(
        report.Options(
            preset="digits",
            workdir=tmp_path,
            experiment=(name,),
            smoke=True,
            out=tmp_path / "out",
        )
    )
    line = next(line for line in text.splitlines() if line.startswith(f"| {last} |"))
    assert line.endswith("| 1 |")


@pytest.fixture(scope="module")
def real_batch(test_data, tmp_path_factory):
    """16 images of the ImageNet sample, and statistics of the sample."""
    from alexnet_jax import prepare
    from alexnet_jax.config import DataConfig
    from alexnet_jax.data import image_statistics
    from alexnet_jax.data.source import open_source

    folder = str(tmp_path_factory.mktemp("data"))
    source = str(test_data / "ilsvrc2012_sample")
    prepare.run(prepare.Options(source=source, data_dir=folder))
    settings = DataConfig(name="imagenet2012_256", data_dir=folder, image_size=256)
    opened = open_source(settings, "train")
    image = np.empty((16, 256, 256, 3), np.uint8)
    label = np.empty(16, np.int32)
    opened.read(np.arange(16), image, label)
    statistics = image_statistics.load(opened.directory / image_statistics.FILE)
    stddev, direction = image_statistics.principal_components(statistics.covariance)
    images = augment.ImageStatistics(statistics.mean_image, stddev, direction)
    return {"image": image, "label": label}, images


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RUNS))
def test_every_variant_trains_on_the_sample(name, real_batch):
    """Three steps of the full-size network on real images, on two column devices where
    it has two columns."""
    config = RUNS[name]
    column = config.model.num_columns
    mesh = columns.make_mesh(MeshConfig(data=1, column=column), column, jax.devices())
    batch, images = real_batch
    with jax.set_mesh(mesh):
        state = train_step.create_train_state(config, mesh, jax.random.key(0))
        step = jax.jit(
            partial(train_step.train_step, config=config, steps_per_epoch=10_000.0),
            donate_argnames="state",
        )
        losses = []
        for _ in range(3):
            state, values = step(state, batch, jax.random.key(1), images)
            losses.append(float(values["loss"]))
    assert np.isfinite(losses).all() and 6 < losses[0] < 11
    assert int(state.step) == 3
