"""A fault in one of two processes of a run: both end at the same step, with the same
code, and say it once; what was trained is saved."""

import re
import shutil

import numpy as np
import pytest
from in_processes import (
    ON_1X2,
    ON_2X1,
    ON_2X2,
    alone,
    changed,
    final_state,
    launched,
    records,
    run,
    training,
)

# The disk is full for this kind of record, from this step on.
FULL_DISK = """
from alexnet_jax.errors import Fault
from alexnet_jax.training.metrics_writer import MetricsWriter
write = MetricsWriter.write

def failing(self, record):
    if record["kind"] == "{kind}" and record["step"] >= {step} and INDEX == 0:
        raise Fault("metrics.jsonl cannot be written (full): free some space.")
    write(self, record)

MetricsWriter.write = failing
"""

# These examples of the training and of the test set are damaged, for these processes.
DAMAGED = """
from alexnet_jax.data import source
choose = source._choose_fetch

def choose_damaged(*arguments):
    fetch = choose(*arguments)

    def failing(index, out):
        if index in {examples} and INDEX in {processes}:
            raise ValueError("bad bytes")
        return fetch(index, out)

    return failing

source._choose_fetch = choose_damaged
"""

CODES = """
import atexit, sys
from alexnet_jax.system import peers
finish = peers.finish

def told(code):
    print(f"CODE {code} of {INDEX}", file=sys.stderr, flush=True)
    return finish(code)

peers.finish = told
"""


def both_ended_with(output):
    """The exit codes of both processes, by index."""
    pairs = re.findall(r"CODE (\d+) of (\d)", output)
    assert len(pairs) == 2, output
    return [int(code) for code, _ in sorted(pairs, key=lambda pair: pair[1])]


def two(folder, digits_dir, tmp_path, change, code, *options, mesh=ON_1X2, epochs=4):
    """Trains in two processes that are changed so; the output."""
    environment = changed(tmp_path / "change", change + CODES)
    command = launched(2, *training(folder, digits_dir, epochs), *mesh, *options)
    output = run(command, code, environment=environment)
    assert both_ended_with(output) == [code, code], output
    assert "Traceback" not in output, output
    return output


def evaluations(folder):
    return [r["step"] for r in records(folder) if r["kind"] == "eval"]


def finish(folder, digits_dir, epochs=4):
    """One process goes on to the end: each epoch must be recorded once."""
    output = run(alone(*training(folder, digits_dir, epochs), *ON_1X2))
    ends = [23, 45, 68, 90, 113, 135][:epochs]
    assert evaluations(folder) == ends
    return output


@pytest.mark.parametrize(
    ("kind", "step"),
    [("train", 40), pytest.param("eval", 45, marks=pytest.mark.slow)],
)
def test_a_full_disk(digits_dir, tmp_path, kind, step):
    """A fault of the machine: another start may work, so all end with 75."""
    folder = tmp_path / "run"
    change = FULL_DISK.format(kind=kind, step=step)
    output = two(folder, digits_dir, tmp_path, change, 75)
    saved = re.findall(
        r"\[0\] .*full\): free some space: stopped and saved at step (\d+)", output
    )
    assert len(saved) == 1, output
    assert final_state(folder)[0] == int(saved[0]) >= step
    assert f"resumes after step {saved[0]}" in finish(folder, digits_dir)


def test_no_room_for_a_checkpoint(digits_dir, tmp_path):
    """Nothing can be saved, so a batch system must not start it again and again."""
    folder = tmp_path / "run"
    change = (
        "import shutil\nfrom types import SimpleNamespace\n"
        "if INDEX == 1: shutil.disk_usage = lambda _: SimpleNamespace(free=1000)\n"
    )
    output = two(folder, digits_dir, tmp_path, change, 1)
    assert output.count("No space left on device") == 1, output
    assert not (folder / "checkpoints" / "23").exists()


def test_a_damaged_record(digits_dir, tmp_path):
    """It would stop the next start too, so all end with 1; the one that reads it says
    where it is."""
    folder = tmp_path / "run"
    change = DAMAGED.format(examples={700}, processes={1})
    output = two(folder, digits_dir, tmp_path, change, 1)
    told = re.findall(r"\[(\d)\] error: .*record 700.*bad bytes.*", output)
    assert told == ["1"], output
    saved = re.findall(r"The state is saved at step (\d+)", output)
    assert len(saved) == 1, output
    assert final_state(folder)[0] == int(saved[0])
    finish(folder, digits_dir)


@pytest.mark.slow
def test_damaged_records_are_left_out_by_all(digits_dir, tmp_path):
    """Each process reads its own rows, and all count those of both; as one process."""
    change = DAMAGED.format(examples={3, 700, 1100}, processes={-1, 0, 1})
    environment = changed(tmp_path / "change", change)
    skipping = ["--data.damaged", "skip"]
    folders = []
    for kind, command in (("two", launched), ("one", alone)):
        folders.append(tmp_path / kind)
        count = [2] if command is launched else []
        devices = [] if count else ["--run.mesh.cpu-devices", "2"]
        options = training(folders[-1], digits_dir, 2)
        run(
            command(*count, *options, *ON_2X1, *skipping, *devices),
            environment=environment,
        )
    of_two, of_one = map(records, folders)
    assert of_two == of_one
    assert [r for r in of_two if r["kind"] == "train"][-1]["damaged_records"] == 3
    assert of_two[-1]["examples"] == 359  # of 360 in the test split
    options = ["--workdir", folders[0], "--damaged", "skip"]
    output = run(launched(2, *options, module="evaluate"), environment=environment)
    assert "359 images, 1 view, 1 damaged ones left out" in output


@pytest.mark.slow
def test_divergence(digits_dir, tmp_path):
    folder = tmp_path / "run"
    fast = ["--optimizer.learning-rate", "1000000"]
    output = two(folder, digits_dir, tmp_path, "", 1, *fast)
    assert output.count("error: ") == 1 and " at step " in output


@pytest.mark.slow
def test_a_time_limit(digits_dir, tmp_path):
    folder = tmp_path / "run"
    limit = ["--run.max-minutes", "0.05"]
    output = two(folder, digits_dir, tmp_path, "", 75, *limit, epochs=200)
    assert output.count("max-minutes 0.05 reached: stopped and saved at step") == 1
    assert final_state(folder)[0] > 0


@pytest.mark.slow
def test_saving_within_an_epoch(digits_dir, tmp_path):
    """When, is decided by the clock of the first."""
    folder = tmp_path / "run"
    often = ["--run.checkpoint-minutes", "0.001", "--run.keep-checkpoints", "1000"]
    run(launched(2, *training(folder, digits_dir, 2), *ON_1X2, *often))
    steps = {int(f.name) for f in (folder / "checkpoints").iterdir()}
    assert {23, 45} < steps and len(steps) > 10


@pytest.mark.slow
def test_starting_over(digits_dir, tmp_path):
    folder = tmp_path / "run"
    run(launched(2, *training(folder, digits_dir, 1), *ON_1X2))
    for file in (folder / "checkpoints").rglob("*"):
        if file.is_file() and file.stat().st_size > 1000:
            file.write_bytes(b"damaged")
    again = launched(2, *training(folder, digits_dir, 1), *ON_1X2)
    output = run(again, code=2)
    assert output.count("error: ") == 1 and "start-over" in output
    output = run([*again, "--run.start-over"])
    assert "trained for 23 steps" in output
    assert (folder / "before_start_over-1").is_dir()


def test_other_options(digits_dir, tmp_path):
    """Each would train another network, and wait for the other in vain."""
    folder = tmp_path / "run"
    change = "import sys\nif INDEX == 1: sys.argv += ['--seed', '1']\n"
    output = two(folder, digits_dir, tmp_path, change, 2)
    assert "process 1 has other options than process 0" in output
    assert "--seed: 0 there, 1 now" in output
    assert output.count("error: ") == 1
    assert not (folder / "manifest.json").exists()


@pytest.fixture(scope="module")
def trained(digits_dir, tmp_path_factory):
    """A run of two epochs, and a copy that has lost its second checkpoint."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run(alone(*training(folder, digits_dir, 2)))
    copy = shutil.copytree(folder, folder.with_name("copy"))
    shutil.rmtree(copy / "checkpoints" / "45")
    return folder, copy


@pytest.mark.parametrize(
    ("other", "told"),
    [("copy", "has no intact|cannot be read"), ("missing", "does not exist")],
)
def test_networks_that_differ(trained, tmp_path, other, told):
    """Each process would hold a column of another network, or wait for one that has
    none."""
    folder, copy = trained
    change = f"import sys\nif INDEX == 1: sys.argv[-1] = {str(copy.parent / other)!r}\n"
    environment = changed(tmp_path / "change", change + CODES)
    command = launched(2, "--views", 1, "--workdir", folder, module="evaluate")
    output = run(command, 2, environment=environment)
    assert both_ended_with(output) == [2, 2]
    assert output.count("error: ") == 1 and re.search(told, output), output


@pytest.mark.slow
def test_a_mistake_in_an_experiment(tmp_path):
    change = (
        "from alexnet_jax.errors import UserError\n"
        "from alexnet_jax.training import setup\n"
        "def refused(*_): raise UserError('no such data')\n"
        "if INDEX == 1: setup.open_source = refused\n"
    )
    environment = changed(tmp_path / "change", change + CODES)
    options = ["--experiment", "pooling", "--preset", "digits", "--smoke"]
    command = launched(2, *options, "--workdir", tmp_path / "run", module="experiments")
    output = run(command, 2, environment=environment)
    assert both_ended_with(output) == [2, 2]
    assert output.count("no such data") == 1


@pytest.mark.slow
def test_the_data_order_is_that_of_one_process(digits_dir, tmp_path):
    """The same state, continued by one process and by four on another mesh: the losses
    of the next steps are those of the same images, crops and masks."""
    folder = tmp_path / "run"
    run(launched(2, *training(folder, digits_dir, 8), *ON_1X2))
    losses = []
    each = ["--run.log-every-steps", "1"]
    for name, command, mesh in (
        ("one", alone(), ON_1X2),
        ("four", launched(4), ON_2X2),
    ):
        copy = shutil.copytree(folder, tmp_path / name)
        run([*command, *map(str, training(copy, digits_dir, 9)), *mesh, *each])
        after = [r for r in records(copy) if r["kind"] == "train" and r["step"] > 180]
        losses.append([r["loss"] for r in after][:5])
    assert len(losses[0]) == 5
    np.testing.assert_allclose(*losses, rtol=2e-3)
    assert np.ptp(losses[0]) > 0.02 * np.mean(losses[0])  # other images would differ
