"""Several processes as one run: the same bits, one writer, one end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from in_processes import (
    ON_1X2,
    ON_2X1,
    ON_2X2,
    PYTHON,
    alone,
    assert_same_runs,
    changed,
    final_state,
    launched,
    records,
    run,
    training,
)

from alexnet_jax import launch

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def of_two(digits_dir, tmp_path_factory):
    """Two processes that hold one column each, and what they printed."""
    folder = tmp_path_factory.mktemp("runs") / "two"
    return folder, run(launched(2, *training(folder, digits_dir), *ON_1X2))


@pytest.fixture(scope="module")
def of_one(digits_dir, tmp_path_factory):
    """The same mesh in one process."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    devices = ["--run.mesh.cpu-devices", "2"]
    run(alone(*training(folder, digits_dir), *ON_1X2, *devices))
    return folder


def test_two_processes_give_the_bits_of_one(of_one, of_two):
    assert_same_runs(of_one, of_two[0])


def test_one_process_speaks(of_two):
    _, output = of_two
    assert output.count("trained for 45 steps") == 1
    lines = [line for line in output.splitlines() if "[Gloo]" not in line]
    assert not [line for line in lines if line.startswith("[1] ")]


def test_one_process_writes(of_two):
    folder, _ = of_two
    (start,) = json.loads((folder / "manifest.json").read_text())
    assert start["outcome"] == "complete"
    assert start["mesh"] == {"data": 1, "column": 2}
    assert len(list((folder / "tensorboard").iterdir())) == 1
    assert not list(folder.glob("crash-*"))


def test_ten_views_in_two_processes(of_two, tmp_path):
    """Exact for all images of the split, though they are read by two."""
    folder, _ = of_two
    tables, files = [], []
    for kind, command in (("two", launched), ("one", alone)):
        files.append(tmp_path / f"{kind}.npz")
        options = ["--workdir", folder, "--views", 10, "--predictions", files[-1]]
        count = [2] if command is launched else []
        output = run(command(*count, *options, module="evaluate"))
        tables.append(re.findall(r"360 images, .*|step 45 .*", output))
    assert tables[0] == tables[1] != []
    with np.load(files[0]) as two, np.load(files[1]) as one:
        for name in one.files:
            if two[name].dtype.kind == "f":
                np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(two[name], one[name])


# Writes the examples that each process reads.
READS = """
from alexnet_jax.data.source import Source
read = Source.read

def noted(self, indices, image, label):
    with open(f"{folder}/{{INDEX}}.txt", "a") as file:
        file.write(" ".join(map(str, indices)) + "\\n")
    read(self, indices, image, label)

Source.read = noted
"""


def test_each_process_reads_its_rows(of_two, tmp_path):
    """Every example once, by one of them; example 0 also fills the last batch, where
    it does not count."""
    folder, _ = of_two
    environment = changed(tmp_path / "change", READS.format(folder=tmp_path))
    options = ["--workdir", folder, "--mesh.data", 2, "--mesh.column", 1]
    run(launched(2, *options, module="evaluate"), environment=environment)
    reads = [
        np.array((tmp_path / f"{index}.txt").read_text().split(), int)
        for index in range(2)
    ]
    assert [len(each) for each in reads] == [192, 192]
    times = np.bincount(np.concatenate(reads))
    assert times.tolist() == [1 + 2 * 192 - 360] + [1] * 359


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "mesh"),
    [(2, ON_2X1), (4, ON_2X2), (2, [*ON_2X2, "--run.mesh.cpu-devices", "2"])],
    ids=["2 on 2x1", "4 on 2x2", "2 on 2x2"],
)
def test_other_meshes(digits_dir, tmp_path, processes, mesh):
    devices = str(2 if mesh is ON_2X1 else 4)
    many, one = tmp_path / "many", tmp_path / "one"
    run(launched(processes, *training(many, digits_dir), *mesh))
    last = ["--run.mesh.cpu-devices", devices]  # the last of two equal options holds
    run(alone(*training(one, digits_dir), *mesh, *last))
    if mesh is ON_2X1:
        assert_same_runs(one, many)
        return
    # More than two devices add in another order, which training amplifies.
    first, other = records(one)[0], records(many)[0]
    assert first["step"] == other["step"] == 20
    assert first["loss"] == pytest.approx(other["loss"], rel=1e-2)


def start(command):
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def process_of(parent, index):
    """The process with an index, among the children of `launch`."""
    children = subprocess.run(
        ["pgrep", "-P", str(parent)], capture_output=True, text=True
    )
    for child in map(int, children.stdout.split()):
        with open(f"/proc/{child}/environ") as file:
            if f"JAX_PROCESS_ID={index}\0" in file.read():
                return child
    raise AssertionError(f"no process {index} in {children.stdout!r}")


def disturbed(command, index, number, after=None):
    """Sends a signal to one process in the midst of training, once a file exists: code,
    output, seconds until all have ended."""
    lines = []
    with start(command) as job:
        for line in job.stdout:
            lines.append(line)
            if " step " in line:
                break
        while after is not None and not after.exists():
            assert job.poll() is None, lines
            time.sleep(0.05)
        began = time.monotonic()
        os.kill(process_of(job.pid, index), number)
        lines += job.stdout.readlines()
    return job.returncode, "".join(lines), time.monotonic() - began


def test_a_signal_to_one_stops_all_and_one_process_resumes(
    of_one, digits_dir, tmp_path
):
    folder = tmp_path / "run"
    options = [*training(folder, digits_dir, epochs=30), *ON_1X2]
    code, output, _ = disturbed(launched(2, *options), 1, signal.SIGTERM)
    assert code == 75, output
    saved = re.findall(r"\[0\] process 1: stopped and saved at step (\d+)", output)
    assert len(saved) == 1, output
    step, _ = final_state(folder)
    assert step == int(saved[0])
    more = max(step * 64 / 1437 + 0.5, 2)
    options = training(folder, digits_dir, epochs=more)
    resumed = run(alone(*options, *ON_1X2, "--run.mesh.cpu-devices", "2"))
    assert f"resumes after step {step}" in resumed
    trained = [r for r in records(folder) if r["kind"] == "eval" and r["step"] == 23]
    uninterrupted = [
        r for r in records(of_one) if r["kind"] == "eval" and r["step"] == 23
    ]
    assert trained == uninterrupted


@pytest.mark.slow
def test_two_then_one_then_four_processes(digits_dir, tmp_path):
    """Another mesh rounds otherwise, so the error is one of those of other seeds."""
    folder = tmp_path / "run"
    run(launched(2, *training(folder, digits_dir, epochs=12), *ON_1X2))
    run(alone(*training(folder, digits_dir, epochs=24)))
    options = [*training(folder, digits_dir, epochs=40), *ON_2X2]
    run(launched(4, *options), timeout=1500)
    starts = json.loads((folder / "manifest.json").read_text())
    assert [start["first_step"] for start in starts] == [0, 270, 539]
    meshes = [tuple(start["mesh"].values()) for start in starts]
    assert meshes == [(1, 2), (1, 2), (2, 2)]
    last = [r for r in records(folder) if r["kind"] == "eval"][-1]
    assert last["step"] == 899
    files = sorted((REPOSITORY / "results" / "records").glob("digits-seed*.json"))
    errors = [json.loads(file.read_text())["result"]["top1_error"] for file in files]
    print(f"top-1 error {last['top1_error']:.2%}")
    assert last["top1_error"] <= max(errors)


@pytest.mark.parametrize("index", [0, 1])
def test_the_loss_of_one_ends_the_other(digits_dir, tmp_path, index):
    folder = tmp_path / "run"
    options = [*training(folder, digits_dir, epochs=30), *ON_1X2]
    second = folder / "checkpoints" / "45"  # begun when the first is complete
    job = launched(2, *options)
    code, output, seconds = disturbed(job, index, signal.SIGKILL, after=second)
    assert code == 75, output
    assert f"[{1 - index}] stopped: process {index} on" in output
    assert "Traceback" not in output
    assert seconds < 30
    step, _ = final_state(folder)
    assert step >= 23
    options = training(folder, digits_dir, epochs=(step + 23) * 64 / 1437)
    again = run(launched(2, *options, *ON_1X2))
    assert f"resumes after step {step}" in again


def test_a_mistake_is_told_once(tmp_path):
    options = ["--workdir", tmp_path / "run", "--data.name", "no_such_dataset"]
    output = run(launched(2, *options), code=2)
    assert output.count("error: ") == 1
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_directory_in_use(of_one, tmp_path, digits_dir):
    from alexnet_jax.system import lock

    folder = tmp_path / "run"
    folder.mkdir()
    held = lock.Lock(folder)
    output = run(launched(2, *training(folder, digits_dir)), code=2)
    held.release()
    assert output.count("another process is using") == 1


def test_an_experiment_in_two_processes(tmp_path):
    output = run(
        launched(
            2,
            *("--experiment", "pooling", "--preset", "digits", "--smoke"),
            *("--workdir", tmp_path),
            module="experiments",
        )
    )
    assert output.count("2 runs done") == 1


def test_unknown_module():
    assert "--module json.tool: one of" in run(
        [*PYTHON, "alexnet_jax.launch", "--module", "json.tool"], code=2
    )


# Launching itself, with commands that need no JAX.

SAY = "import os, sys; i = int(os.environ['JAX_PROCESS_ID']); "


@pytest.fixture
def small(monkeypatch):
    """launch.run of Python code instead of a module."""

    def launch_code(code, processes=2):
        popen = subprocess.Popen
        monkeypatch.setattr(
            launch.subprocess,
            "Popen",
            # This process has JAX, which warns of a fork.
            lambda _, preexec_fn, **options: popen(
                [sys.executable, "-c", SAY + code], **options
            ),
        )
        return launch.run(launch.Options(processes=processes))

    return launch_code


def test_lines_carry_the_index(small, capfd):
    assert small("print('hello'); print('ho', file=sys.stderr)", 3) == 0
    lines = capfd.readouterr().out.splitlines()
    expected = [f"[{i}] {word}" for i in range(3) for word in ("hello", "ho")]
    assert sorted(lines) == expected


def test_the_code_of_the_first_failure(small):
    assert small("import time; time.sleep(i); sys.exit(3 + i)") == 3


def test_a_killed_process_has_the_code_of_a_shell(small):
    assert small("os.kill(os.getpid(), 9) if i else None") == 128 + 9


LATER = "import time; time.sleep(0.5 * i); "


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("os.kill(os.getpid(), 9) if i else sys.exit(75)", 75),
        (LATER + "sys.exit(75) if i else os.kill(os.getpid(), 9)", 75),
        (LATER + "sys.exit(3 if i else 75)", 75),
        (LATER + "sys.exit(75 if i else 3)", 3),
    ],
)
def test_the_others_of_a_killed_process_can_resume(small, code, expected):
    """Whichever ends first; one that failed by itself would fail again."""
    assert small(code) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is of Linux")
def test_processes_end_with_launch():
    """Also when it is killed, so that nobody keeps the directory."""
    script = (
        "import subprocess, sys\n"
        "from alexnet_jax import launch\n"
        "popen = subprocess.Popen\n"
        "code = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'\n"
        "launch.subprocess.Popen = lambda _, **options: "
        "popen([sys.executable, '-c', code], **options)\n"
        "launch.run(launch.Options(processes=1))\n"
    )
    with start([sys.executable, "-c", script]) as job:
        child = int(job.stdout.readline().split()[1])
        job.kill()
    until = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


def test_the_others_are_stopped(small, monkeypatch):
    """One that hangs does not keep the job alive."""
    monkeypatch.setattr(launch, "_SECONDS_TO_FOLLOW", 0.5)
    monkeypatch.setattr(launch, "_SECONDS_TO_STOP", 0.5)
    began = time.monotonic()
    ignoring = "import signal, time; signal.signal(15, signal.SIG_IGN); "
    assert small(ignoring + "time.sleep(60) if i else sys.exit(4)") == 4
    assert time.monotonic() - began < 20
