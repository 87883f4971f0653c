"""step_log.py: each step is in one record, and in the speed of that record."""

import numpy as np
import pytest

from alexnet_jax import presets
from alexnet_jax.system.interruption import Interruption
from alexnet_jax.training import step_log
from alexnet_jax.training.agreement import Agreement

SECONDS = 0.5


class Recorder:
    """Stands in for the writer and the progress."""

    def __init__(self):
        self.records = []

    def write(self, record):
        self.records.append(record)

    def step(self, step): ...
    def train(self, record): ...
    def note(self, text): ...
    def first_step_done(self, step): ...


def values():
    names = ("loss", "top1_error", "learning_rate", "gradient_norm")
    layers = {f"layer_{kind}_norm": np.ones(8) for kind in ("gradient", "update")}
    return {name: np.float32(1) for name in names} | layers


def test_every_record_has_the_speed_of_its_own_steps(monkeypatch):
    """Records of 20 steps, and one step in the last; the first step compiles."""
    clock = [0.0]
    monkeypatch.setattr(step_log.time, "perf_counter", lambda: clock[0])
    recorder = Recorder()
    agreement = Agreement(Interruption())
    log = step_log.StepLog(recorder, recorder, presets.DIGITS, agreement)
    for step in range(1, 42):
        clock[0] += 60 if step == 1 else SECONDS
        log.add(step, step / 23, values(), SECONDS / 4)
    log.flush()
    assert [record["step"] for record in recorder.records] == [20, 40, 41]
    for record in recorder.records:
        assert record["images_per_second"] == pytest.approx(64 / SECONDS)
        assert record["data_wait_fraction"] == pytest.approx(0.25)
