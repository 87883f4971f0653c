"""Valid JSON lines after any kill, and TensorBoard."""

import contextlib
import json
import subprocess
import sys

import pytest
from tensorboardX.proto import event_pb2

from alexnet_jax.training import metrics_writer

TRAIN = {
    "kind": "train",
    "step": 20,
    "epoch": 0.5,
    "loss": 6.41,
    "top1_error": 0.988,
    "learning_rate": 0.01,
    "images_per_second": 4100.0,
    "data_wait_fraction": 0.03,
}
EVAL = {
    "kind": "eval",
    "step": 40,
    "epoch": 1.0,
    "views": 1,
    "loss": 0.123,
    "top1_error": 0.025,
    "top5_error": 0.001,
    "examples": 360,
}


@contextlib.contextmanager
def writer(directory, resume_step=0, **options):
    with contextlib.closing(
        metrics_writer.MetricsWriter(directory, resume_step=resume_step, **options)
    ) as opened:
        yield opened


def lines(directory):
    text = (directory / "metrics.jsonl").read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def events(directory):
    """The events that TensorBoard reads."""
    for path in (directory / "tensorboard").iterdir():
        content = path.read_bytes()
        while content:  # TFRecord: length, its checksum, the event, its checksum
            length = int.from_bytes(content[:8], "little")
            yield event_pb2.Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]


def test_records_come_back(tmp_path):
    with writer(tmp_path) as opened:
        opened.write(TRAIN)
        opened.write(EVAL)
        assert lines(tmp_path) == [TRAIN, EVAL]  # a kill now would lose nothing


def test_nan_is_null(tmp_path):
    with writer(tmp_path) as opened:
        opened.write({"kind": "train", "step": 1, "loss": float("nan")})
    assert lines(tmp_path) == [{"kind": "train", "step": 1, "loss": None}]


@pytest.mark.parametrize("torn", [b"", b'{"kind": "train", "st', b"\xff\xfe\x00"])
def test_resume_drops_later_steps_and_torn_lines(tmp_path, torn):
    with writer(tmp_path) as opened:
        for step in (10, 20, 30):
            opened.write(TRAIN | {"step": step})
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(torn)
    with writer(tmp_path, resume_step=20) as opened:
        opened.write(TRAIN | {"step": 25})
    assert [record["step"] for record in lines(tmp_path)] == [10, 20, 25]


def test_a_torn_line_in_the_midst_is_dropped(tmp_path):
    """As a file system may leave one after the machine crashes."""
    with writer(tmp_path) as opened:
        opened.write(TRAIN | {"step": 10})
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'\x00\x00{"kind": "tr\n[1]\n"x"\n' + json.dumps(TRAIN).encode())
    with writer(tmp_path, resume_step=20):
        assert [record["step"] for record in lines(tmp_path)] == [10, 20]


@pytest.mark.parametrize("evaluated, kinds", [(True, 2), (False, 1)])
def test_an_evaluation_that_comes_again_is_dropped(tmp_path, evaluated, kinds):
    with writer(tmp_path) as opened:
        opened.write(TRAIN | {"step": 40})
        opened.write(EVAL)
    with writer(tmp_path, resume_step=40, evaluated=evaluated):
        assert len(lines(tmp_path)) == kinds


@pytest.mark.parametrize("room", [0, 1, 150])
def test_a_full_disk_leaves_whole_lines(tmp_path, room):
    """A record that does not fit is not begun, and comes when there is room again. In a
    process of its own, whose files may not grow beyond a size."""
    code = (
        "import resource, pathlib\n"
        "from alexnet_jax.training import metrics_writer\n"
        "from alexnet_jax.errors import Fault\n"
        f"record = {TRAIN!r}\n"
        f"path = pathlib.Path({str(tmp_path)!r})\n"
        "writer = metrics_writer.MetricsWriter(path, resume_step=0)\n"
        "writer.write(record)\n"
        "size = (path / 'metrics.jsonl').stat().st_size\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (size + {room}, hard))\n"
        "try:\n"
        "    writer.write(record | {'step': 30})\n"
        "except Fault as error:\n"
        "    print(error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        "writer.write(record | {'step': 40})\n"
        "writer.close()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
    )
    assert "metrics.jsonl cannot be written" in result.stdout, result.stderr
    assert [record["step"] for record in lines(tmp_path)] == [20, 40]


def test_tensorboard_has_the_same_numbers(tmp_path):
    with writer(tmp_path) as opened:
        opened.write(EVAL)
    found = {
        value.tag: (event.step, value.simple_value)
        for event in events(tmp_path)
        for value in event.summary.value
    }
    assert found["eval/top1_error"] == (40, pytest.approx(0.025))
    assert found["eval/loss"] == (40, pytest.approx(0.123))


def test_tensorboard_drops_what_comes_again(tmp_path):
    """TensorBoard forgets the steps from 21 on, and no others."""
    with writer(tmp_path, resume_step=20):
        pass
    starts = [e.step for e in events(tmp_path) if e.HasField("session_log")]
    assert starts == [21]
