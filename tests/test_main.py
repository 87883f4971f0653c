"""The command as a user meets it: help, mistakes, exit codes, Ctrl-C."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from alexnet_jax import main, presets
from alexnet_jax.errors import UserError
from alexnet_jax.system import lock
from alexnet_jax.training import setup, workdir

COMMAND = [sys.executable, "-m", "alexnet_jax.main"]


def run(*arguments, timeout=240):
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def test_help():
    result = run("--help")
    assert result.returncode == 0
    for text in ("--workdir", "--preset {digits,", "--optimizer.sched", "--help-all"):
        assert text in result.stdout
    assert "model.conv4.pool" not in result.stdout
    assert "model.conv4.pool" in run("--help-all").stdout


def test_help_shows_the_values_of_the_preset():
    assert "(default: 91)" in run("--preset", "alexnet2012", "--help").stdout


@pytest.mark.parametrize("module", ["alexnet_jax", "alexnet_jax.train"])
def test_no_heavy_imports(module):
    code = (
        f"import sys, {module}; "
        "print([m for m in ('tensorflow', 'torch', 'matplotlib') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_parse():
    chosen = main.parse(
        ["--workdir", "w", "--preset", "cifar10"]
        + ["--model.conv2.local-norm.position", "off"]
        + ["--model.without", "conv3", "fc7"]
        + ["--optimizer.layer-rates", "conv1", "2", "0"]
    )
    base = presets.CIFAR10
    assert chosen.config.model.conv2.local_norm.position == "off"
    assert chosen.config.model.without == ("conv3", "fc7")
    assert chosen.config.optimizer.layer_rates == (("conv1", 2.0, 0.0),)
    assert chosen.config.data == base.data
    back = dataclasses.replace(
        chosen.config, model=base.model, optimizer=base.optimizer
    )
    assert back == base


def test_misspelt_field_gets_a_suggestion():
    result = run("--workdir", "unused", "--optimizer.lerning-rate", "0.1")
    assert result.returncode == 2
    assert "--optimizer.learning-rate" in result.stderr


def test_options_of_other_programs(capsys):
    """The message names the option here; each option that it names exists."""
    for name, instead in main.INSTEAD.items():
        with pytest.raises(SystemExit) as exit:
            main.parse(["--workdir", "unused", f"--{name}", "1"])
        assert exit.value.code == 2
        message = f"error: no --{name} here: use {instead}\n"
        assert capsys.readouterr().err == message
        for word in instead.replace(",", "").split():
            if word.startswith("--"):
                value = {"--preset": "digits", "--workdir": "unused"}.get(word)
                field = word.removeprefix("--").replace("-", "_").split(".")
                config = presets.DIGITS
                for part in field * (value is None):
                    config = getattr(config, part)


def test_unknown_preset():
    result = run("--workdir", "unused", "--preset", "alexnet2013")
    assert result.returncode == 2
    assert "alexnet2012" in result.stderr and "Traceback" not in result.stderr


# Options, and what the message must say: the value and the remedy.
MISTAKES = {
    "mesh": (["--run.mesh.data", "16"], "needs 32 devices, and there are 4"),
    "mesh columns": (["--run.mesh.column", "3"], "lie on 1 device or on 2"),
    "batch": (["--run.mesh.data", "2", "--batch-size", "63"], "--batch-size 63"),
    "crop": (["--augment.crop-size", "29"], "--augment.crop-size 29 is larger"),
    "dataset": (["--data.name", "digts"], "available: digits"),
    "split": (["--data.eval-split", "dev"], "its splits are train, test"),
    "map": (["--augment.crop-size", "4", "--model.conv2.padding", "0", "0"], "conv2"),
    "batch of more": (["--batch-size", "2000"], "that fit: --batch-size 1024"),
    "classes": (["--model.fc8.features", "8"], "--model.fc8.features 10"),
    "columns": (["--model.conv2.features", "31"], "--model.conv2.features 31"),
    "sees": (["--model.fc6.sees", "image"], "only conv1 sees the image"),
    "conv1 sees": (["--model.conv1.sees", "own"], "--model.conv1.sees own"),
    "layer": (["--optimizer.layer-rates", "conv9", "1", "0"], "names 'conv9'"),
    "multiplier": (["--optimizer.layer-multipliers", "cnov1:0"], "(meant conv1?)"),
    "no factor": (["--optimizer.layer-multipliers", "fc8"], "write LAYER:FACTOR"),
    "two factors": (
        ["--optimizer.layer-multipliers", "fc8:1", "fc8:2"],
        "fc8:2: fc8 has another factor",
    ),
    "factor and rate": (
        ["--optimizer.layer-multipliers", "fc8:1"]
        + ["--optimizer.layer-rates", "fc8", "0", "1"],
        "--optimizer.layer-rates, which no factor changes",
    ),
    "zero": (["--batch-size", "0"], "--batch-size 0 must be greater than 0"),
    "rate": (
        ["--model.dropout-rate", "1"],
        "--model.dropout-rate 1 must be from 0 to below 1",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name, tmp_path, digits_dir):
    """A UserError before any work: nothing is written to the run directory."""
    arguments, message = MISTAKES[name]
    chosen = main.parse(
        ["--workdir", str(tmp_path / "run"), "--data.data-dir", digits_dir, *arguments]
    )
    with pytest.raises(UserError) as raised:
        setup.set_up(chosen.config, chosen.workdir)
    assert message in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_a_mistake_is_one_message_and_code_2(tmp_path, digits_dir):
    blocked = tmp_path / "file"
    blocked.touch()
    result = run("--workdir", blocked / "run", "--data.data-dir", digits_dir)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: --workdir {blocked}/run cannot be written")
    assert len(result.stderr.splitlines()) == 1


def test_directories_that_are_no_run(tmp_path):
    """A file, a directory of other things: refused, and nothing is written."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file: name a directory"):
        workdir.open_workdir(tmp_path / "file", presets.DIGITS)
    with pytest.raises(UserError, match="holds other files, such as 'file'"):
        workdir.open_workdir(tmp_path, presets.DIGITS)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_directories_beside_runs(tmp_path):
    """Other runs, hidden files and a report of a crash may be there."""
    started(tmp_path / "another", presets.DIGITS)
    (tmp_path / ".hidden").touch()
    (tmp_path / "crash-7.txt").touch()
    started(tmp_path, presets.DIGITS)


@pytest.mark.parametrize("arguments", [["--workdir", ""], ["--workdir="]])
def test_an_empty_value_is_not_the_current_directory(arguments):
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stderr == "error: --workdir has an empty value\n"


@pytest.mark.parametrize("text", ["null", "[]", "7", '"x"'])
def test_a_configuration_that_is_none(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="holds no configuration"):
        workdir.open_workdir(tmp_path, presets.DIGITS)
    with pytest.raises(UserError, match="config.json"):
        workdir.read_config(tmp_path)


def started(directory, config):
    """The directory of a run that has begun."""
    workdir.open_workdir(directory, config).release()
    workdir.write_config(directory, config)


def test_another_configuration_is_refused(tmp_path, digits_dir):
    """With the fields that differ. The mesh may differ, and the length of the run."""
    first = presets.DIGITS
    started(tmp_path, first)
    longer = dataclasses.replace(first, num_epochs=99, run=presets.ALEXNET2012.run)
    started(tmp_path, longer)
    other = dataclasses.replace(
        first,
        seed=5,
        optimizer=dataclasses.replace(first.optimizer, learning_rate=0.5),
    )
    with pytest.raises(UserError) as raised:
        workdir.open_workdir(tmp_path, other)
    assert "--seed: 0 there, 5 now" in str(raised.value)
    assert "--optimizer.learning-rate: 0.01 there, 0.5 now" in str(raised.value)
    assert "num-epochs" not in str(raised.value)
    assert json.loads((tmp_path / "config.json").read_text())["num_epochs"] == 99


def test_a_run_that_is_older_than_a_field_goes_on(tmp_path):
    """The missing field had the default value."""
    started(tmp_path, presets.DIGITS)
    content = json.loads((tmp_path / "config.json").read_text())
    del content["data"]["squash"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    started(tmp_path, presets.DIGITS)
    data = dataclasses.replace(presets.DIGITS.data, squash=True)
    with pytest.raises(UserError, match="--data.squash: False there, True now"):
        workdir.open_workdir(tmp_path, dataclasses.replace(presets.DIGITS, data=data))


def test_a_run_with_the_older_name_of_a_field_goes_on(tmp_path):
    """The position of a norm used to be called place."""
    started(tmp_path, presets.DIGITS)
    path = tmp_path / "config.json"
    older = path.read_text().replace('"position"', '"place"')
    assert older.count('"place"') == 10
    path.write_text(older)
    assert workdir.read_config(tmp_path) == presets.DIGITS
    started(tmp_path, presets.DIGITS)
    assert '"place"' not in path.read_text()
    path.write_text(older)
    other = main.parse(
        ["--workdir", "w", "--model.conv1.local-norm.position", "after_pool"]
    )
    with pytest.raises(UserError) as raised:
        workdir.open_workdir(tmp_path, other.config)
    assert raised.value.args[0].splitlines()[1:-1] == [
        "  --model.conv1.local-norm.position: before_activation there, after_pool now"
    ]


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_configurations_there_and_back(tmp_path, preset):
    started(tmp_path, presets.PRESETS[preset])
    assert workdir.read_config(tmp_path) == presets.PRESETS[preset]


def test_the_length_of_a_cosine_run_is_part_of_it(tmp_path):
    started(tmp_path, presets.CIFAR10)
    longer = dataclasses.replace(presets.CIFAR10, num_epochs=99)
    with pytest.raises(UserError, match="--num-epochs: 30 there, 99 now"):
        started(tmp_path, longer)


@pytest.mark.parametrize("seconds", [0, 0.5])
def test_stopped_before_the_first_step(tmp_path, digits_dir, seconds):
    """While it computes statistics or compiles it stops at once, with code 75."""
    arguments = ["--workdir", str(tmp_path / "run"), "--data.data-dir", digits_dir]
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert any(line.startswith("computing the mean") for line in process.stdout)
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert errors == "\nstopped: nothing to save; the same command resumes\n"


def test_a_second_run_is_refused(tmp_path, digits_dir):
    (tmp_path / "run").mkdir()
    held = lock.Lock(tmp_path / "run")
    result = run("--workdir", tmp_path / "run", "--data.data-dir", digits_dir)
    held.release()
    assert result.returncode == 2
    assert f"(process {os.getpid()} on" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def signalled_after_a_step(number, arguments, metrics):
    """Exit code and messages of a run that gets a signal while it trains."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


@pytest.mark.parametrize(
    "number, reason",
    [
        (signal.SIGABRT, "it crashed (Aborted); the stacks of its threads are in "),
        (signal.SIGKILL, "it was stopped at once or killed, or the machine went down"),
    ],
)
def test_the_next_start_says_how_a_process_died(tmp_path, digits_dir, number, reason):
    """SIGABRT is how XLA ends a process that is stuck."""
    workdir = tmp_path / "run"
    arguments = ["--workdir", str(workdir), "--data.data-dir", digits_dir]
    arguments += ["--num-epochs", "1", "--run.log-every-steps", "1"]
    metrics = workdir / "metrics.jsonl"
    code, errors = signalled_after_a_step(number, arguments, metrics)
    assert code == -number, errors
    again = run(*arguments)
    assert again.returncode == 0 and reason in again.stderr, again.stderr
    stacks = list(workdir.glob("crash-*.txt"))
    if number == signal.SIGABRT:
        assert "train.py" in stacks.pop().read_text()
    assert not stacks
    assert "did not finish" not in run(*arguments).stderr


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_other_signals_save_too(tmp_path, digits_dir, number):
    """A terminal that is closed, the warning of a batch system."""
    arguments = ["--workdir", str(tmp_path / "run"), "--data.data-dir", digits_dir]
    arguments += ["--run.log-every-steps", "1"]
    metrics = tmp_path / "run" / "metrics.jsonl"
    code, errors = signalled_after_a_step(number, arguments, metrics)
    assert code == 75 and "stopped and saved at step" in errors, errors


def test_ctrl_c_saves_and_the_same_command_resumes(tmp_path, digits_dir):
    """The whole job in its own process, on two column devices."""
    arguments = ["--workdir", str(tmp_path / "run"), "--data.data-dir", digits_dir]
    arguments += ["--num-epochs", "2", "--run.log-every-steps", "1"]
    metrics = tmp_path / "run" / "metrics.jsonl"
    code, errors = signalled_after_a_step(signal.SIGINT, arguments, metrics)
    assert code == 75, errors
    assert "stopped and saved at step" in errors and "Traceback" not in errors
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert "\npreset     digits, num-epochs 2\n" in f"\n{result.stdout}"
    assert ", resumes after step" in result.stdout
    assert "trained for 45 steps" in result.stdout
    assert "digits test, 360 images, centre view: top-1 error" in result.stdout
    assert f"\n  python -m alexnet_jax.evaluate --workdir {tmp_path}" in result.stdout
    again = run(*arguments)
    assert "the run is complete, 45 steps" in again.stdout
    assert "--num-epochs 4" in again.stdout


@pytest.mark.parametrize(
    "schedule, words",
    [
        ("epochs", "--num-epochs 80, which goes on at the learning rate of the last"),
        ("plateau", "--num-epochs 80, which goes on at the learning rate of the last"),
        ("constant", "--num-epochs 80, at the same learning rate"),
        ("cosine", "--num-epochs 80 and another --workdir, since the schedule"),
        ("levels", "--num-epochs 80 and another --workdir, since the schedule"),
    ],
)
def test_at_which_rate_a_longer_run_goes_on(schedule, words):
    settings = dataclasses.replace(presets.DIGITS.optimizer, schedule=schedule)
    config = dataclasses.replace(presets.DIGITS, optimizer=settings)
    assert words in main._longer(config, epochs=40.04)
