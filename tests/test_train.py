"""train.py end to end on the digits: resume to the bit, interruption, NaN, the log."""

import dataclasses
import json
import os
import signal

import jax
import numpy as np
import pytest

from alexnet_jax import checkpoint, interruption, job, presets, scores, train
from alexnet_jax.config import Config, MeshConfig, UserError


@pytest.fixture
def config(digits_dir) -> Config:
    """The digits in short: 23 steps an epoch, the schedule with the most state."""
    digits = presets.DIGITS
    return dataclasses.replace(
        digits,
        data=dataclasses.replace(digits.data, data_dir=digits_dir),
        optimizer=dataclasses.replace(
            digits.optimizer, schedule="plateau", plateau_patience=1
        ),
        num_epochs=1.4,
        run=dataclasses.replace(
            digits.run, mesh=MeshConfig(data=1, column=2), log_every_steps=5
        ),
    )


def final_state(config, directory):
    """The newest checkpoint as numpy arrays."""
    run = job.set_up(config, directory)
    with checkpoint.Checkpoints(directory / "checkpoints", keep=3) as checkpoints:
        state = train._newest_or_new_state(run, checkpoints)
    return jax.tree.map(np.asarray, state)


def records(directory, kind):
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["kind"] == kind]


def interrupt_after(monkeypatch, step):
    """Sends SIGINT to this process when that many steps have been dispatched."""
    add = train.StepLog.add

    def add_and_interrupt(self, number, *arguments):
        add(self, number, *arguments)
        if number == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(train.StepLog, "add", add_and_interrupt)


@pytest.mark.parametrize("step", [7, 23, 29])
def test_resume_is_exact(config, tmp_path, monkeypatch, step):
    """Stopped in the first epoch, at its end, or in the second, and resumed: the final
    parameters, velocity and schedule equal those of the undisturbed run bit for bit."""
    train.train_and_evaluate(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, step)
        with pytest.raises(interruption.Interrupted, match=f"saved at step {step}"):
            train.train_and_evaluate(config, tmp_path / "parts")
    outcome = train.train_and_evaluate(config, tmp_path / "parts")
    assert outcome.step == 32 and not outcome.was_complete
    whole = final_state(config, tmp_path / "whole")
    parts = final_state(config, tmp_path / "parts")
    for expected, found in zip(
        jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    assert records(tmp_path / "whole", "eval") == records(tmp_path / "parts", "eval")


def test_a_complete_run_says_so_and_goes_on_with_more_epochs(config, tmp_path):
    short = dataclasses.replace(config, num_epochs=1)
    first = train.train_and_evaluate(short, tmp_path)
    again = train.train_and_evaluate(short, tmp_path)
    assert again.was_complete and again.step == first.step == 23
    assert again.evaluation == first.evaluation
    more = train.train_and_evaluate(config, tmp_path)
    assert more.step == 32 and not more.was_complete


def test_the_log_has_every_step_once(config, tmp_path, monkeypatch):
    """Training records cover the steps without gap or overlap, over an interruption."""
    with monkeypatch.context() as patch:
        interrupt_after(patch, 7)
        with pytest.raises(interruption.Interrupted):
            train.train_and_evaluate(config, tmp_path)
    train.train_and_evaluate(config, tmp_path)
    steps = [record["step"] for record in records(tmp_path, "train")]
    assert steps == [5, 7, 10, 15, 20, 23, 25, 30, 32]
    evaluations = records(tmp_path, "eval")
    assert [record["step"] for record in evaluations] == [23, 32]
    assert all(record["examples"] == 360 for record in evaluations)


def test_metrics_of_training(config, tmp_path):
    train.train_and_evaluate(dataclasses.replace(config, num_epochs=0.5), tmp_path)
    record = records(tmp_path, "train")[0]
    assert {"loss", "top1_error", "learning_rate", "gradient_norm"} <= record.keys()
    assert 2 < record["loss"] < 10  # around ln(10), with the masks of dropout
    assert 0 <= record["top1_error"] <= 1
    assert record["images_per_second"] > 0
    assert 0 <= record["data_wait_fraction"] <= 1
    assert list((tmp_path / "tensorboard").iterdir())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["mesh"] == {"data": 1, "column": 2}


def test_nan_stops_the_run_and_keeps_the_last_checkpoint(config, tmp_path):
    """A rate that makes the second epoch diverge: the step is named, and the state of
    the end of the first epoch is still there."""
    diverging = dataclasses.replace(
        config,
        optimizer=dataclasses.replace(
            config.optimizer, layer_rates=(("fc8", 1.0, 1e30),)
        ),
    )
    with pytest.raises(FloatingPointError, match=r"at step 2\d"):
        train.train_and_evaluate(diverging, tmp_path)
    state = final_state(diverging, tmp_path)
    assert state.step == 23
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_a_checkpoint_of_another_order_is_refused(config, tmp_path, monkeypatch):
    train.train_and_evaluate(dataclasses.replace(config, num_epochs=0.1), tmp_path)
    (tmp_path / "config.json").unlink()
    other = dataclasses.replace(config, seed=1)
    with pytest.raises(UserError, match="seed 0, now it is 1"):
        train.train_and_evaluate(other, tmp_path)


def test_resume_on_another_mesh(config, tmp_path):
    """Saved on two column devices, resumed on two data devices: the mesh is no part of
    the result."""
    short = dataclasses.replace(config, num_epochs=1)
    train.train_and_evaluate(short, tmp_path)
    other = dataclasses.replace(
        config, run=dataclasses.replace(config.run, mesh=MeshConfig(data=2, column=1))
    )
    assert train.train_and_evaluate(other, tmp_path).step == 32


def test_watchdog_remarks_once(config, tmp_path, capsys):
    """Kernels of zero deviation give the loss of guessing, which is said once."""
    model = dataclasses.replace(
        config.model,
        dropout="none",
        fc8=dataclasses.replace(config.model.fc8, kernel_std=0.0),
    )
    stuck = dataclasses.replace(
        config,
        model=model,
        optimizer=dataclasses.replace(
            config.optimizer, learning_rate=1e-9, bias_learning_rate=1e-9
        ),
        run=dataclasses.replace(config.run, watchdog_steps=10),
    )
    train.train_and_evaluate(stuck, tmp_path)
    assert capsys.readouterr().out.count("still that of guessing") == 1


@pytest.mark.parametrize(
    "row, label, best, error",
    [
        ([3.0, 2.0, 1.0, 0.0], 0, 1, 0.0),
        ([3.0, 2.0, 1.0, 0.0], 1, 1, 1.0),
        ([3.0, 2.0, 1.0, 0.0], 1, 2, 0.0),
        ([2.0, 2.0, 1.0, 0.0], 0, 1, 0.5),  # two share the first place
        ([1.0, 1.0, 1.0, 1.0], 3, 1, 0.75),
        ([3.0, 1.0, 1.0, 1.0], 3, 2, 2 / 3),  # three share the second place
        ([np.nan] * 4, 0, 1, 1.0),
    ],
)
def test_top_error(row, label, best, error):
    logits = np.array([row], np.float32)
    found = scores.top_error(logits, np.array([label], np.int32), best)
    np.testing.assert_allclose(found, [error], rtol=1e-6)
