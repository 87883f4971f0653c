"""The bar on a terminal, plain lines elsewhere, durations."""

import contextlib
import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from alexnet_jax.system import progress
from alexnet_jax.system.progress import Progress, format_duration

TRAIN = {
    "step": 20,
    "epoch": 0.5,
    "loss": 6.41,
    "top1_error": 0.988,
    "learning_rate": 0.01,
    "images_per_second": 4100.0,
    "data_wait_fraction": 0.03,
}
EVAL = {"epoch": 1.0, "loss": 0.123, "top1_error": 0.025, "top5_error": 0.001}


def shown(stream):
    """Progress of 100 steps, 40 per epoch, that evaluates split "dev"."""
    return contextlib.closing(Progress(100, 0, 40.0, "dev", stream=stream))


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def test_plain_lines():
    stream = io.StringIO()
    with shown(stream) as run:
        run.first_step_done(1)
        run.step(2)
        run.train(TRAIN)
        run.evaluation_begins()
        run.evaluation(EVAL)
    first, second = stream.getvalue().splitlines()
    assert first.startswith("step 20/100  epoch 0.50  loss 6.4100  top-1 error 98.8%")
    assert "4100 images/s  data wait 3%" in first
    assert second == (
        "epoch 1.00: dev loss 0.1230, top-1 error 2.50%, top-5 error 0.10%"
    )


def test_no_top5_error_for_few_classes():
    stream = io.StringIO()
    with shown(stream) as run:
        run.evaluation({"epoch": 1.0, "loss": 0.1, "top1_error": 0.2})
    assert stream.getvalue() == "epoch 1.00: dev loss 0.1000, top-1 error 20.00%\n"


def test_plain_lines_of_a_kind_are_ten_seconds_apart(clock):
    stream = io.StringIO()
    with shown(stream) as run:
        for clock[0] in (0.0, 4.0, 9.9, 10.0, 12.0, 25.0):
            run.train(TRAIN)
            run.evaluation(EVAL)
    words = [line.split()[0] for line in stream.getvalue().splitlines()]
    assert words == ["step", "epoch"] * 3


def test_time_left_counts_from_the_end_of_the_first_step(clock):
    """19 steps in 38 s after a first step of 1000 s: 80 steps are left, 160 s."""
    stream = io.StringIO()
    with shown(stream) as run:
        clock[0] = 1000.0
        run.first_step_done(1)
        clock[0] = 1038.0
        run.train(TRAIN)
    assert stream.getvalue().rstrip().endswith("2m40s left")


# A run whose numbers are as long as they get.
ON_A_TERMINAL = """
from alexnet_jax.system.progress import Progress
run = Progress(910_000, 0, 10_000.0, "validation")
run.first_step_done(1)
run.train(TRAIN | {"step": 2})
for step in range(500_000, 500_004):
    run.step(step)
    run._bar.refresh()
run.evaluation_begins()
run.evaluation(EVAL)
run.close()
"""


def on_a_terminal(code, columns):
    """Runs Python code on a terminal of that width; returns its output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-c", f"TRAIN, EVAL = {TRAIN}, {EVAL}\n{code}"]
    child = subprocess.Popen(command, stdout=theirs, stderr=theirs)
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # EIO: the child has ended
        while chunk := os.read(ours, 4096):
            output += chunk
    os.close(ours)
    assert child.wait(timeout=60) == 0, output.decode()
    return output.decode()


def test_the_bar_fits_80_columns():
    text = on_a_terminal(ON_A_TERMINAL, columns=80)
    frames = [part for line in text.split("\n") for part in line.split("\r")]
    assert max(map(len, frames)) <= 80
    bars = [frame for frame in frames if "|" in frame]
    assert any("epoch 50.0/91" in bar and "evaluating" in bar for bar in bars)
    full = [bar for bar in bars if "loss 6.4100  error 98.8%  4100 images/s" in bar]
    assert full and all(" left" in bar for bar in full)
    assert "epoch 1.00: dev" not in text and "epoch 1.00: validation loss" in text


def test_the_bar_moves_with_each_step():
    """Each step is drawn if steps are slow; here the bar is asked to."""
    code = """
from alexnet_jax.system.progress import Progress
run = Progress(40, 0, 10.0, "test")
run._bar.mininterval = run._bar.miniters = 0
for step in range(1, 5):
    run.step(step)
run.close()
"""
    text = on_a_terminal(code, columns=80)
    for step in range(5):
        assert f"epoch {step / 10:.1f}/4" in text


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0s"),
        (45.4, "45s"),
        (59.7, "1m00s"),
        (200, "3m20s"),
        (5 * 3600 + 12 * 60, "5h12m"),
        (4 * 86400 + 3 * 3600, "4d03h"),
    ],
)
def test_format_duration(seconds, text):
    assert format_duration(seconds) == text
