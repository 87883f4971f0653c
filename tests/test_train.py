"""train.py end to end on the digits: resume to the bit, interruption, NaN, the log."""

import dataclasses
import json
import os
import signal

import jax
import numpy as np
import pytest

from alexnet_jax import metrics, presets, train
from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config, MeshConfig
from alexnet_jax.data import loader
from alexnet_jax.errors import DamagedRecord, Fault, UserError
from alexnet_jax.system import interruption, lock
from alexnet_jax.training import checkpoint, epoch_end, setup


def digits_in_short(digits_dir) -> Config:
    """23 steps an epoch, the schedule with the most state."""
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


@pytest.fixture
def config(digits_dir) -> Config:
    return digits_in_short(digits_dir)


def final_state(config, directory):
    """The newest checkpoint as numpy arrays."""
    run = setup.set_up(config, directory)
    with checkpoint.Checkpoints(directory / "checkpoints", keep=3) as checkpoints:
        state = train._newest_or_new_state(run, checkpoints)
    return jax.tree.map(np.asarray, state)


def records(directory, kind):
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["kind"] == kind]


def interrupt_after(monkeypatch, step):
    """Sends SIGINT to this process after that many dispatched steps."""
    add = epoch_end.StepLog.add

    def add_and_interrupt(self, number, *arguments):
        add(self, number, *arguments)
        if number == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(epoch_end.StepLog, "add", add_and_interrupt)


def interrupt_in_evaluation(monkeypatch, number):
    """Sends SIGINT during that evaluation of the process."""
    eval_batches = loader.eval_batches
    evaluations = []

    def batches(*arguments, **options):
        evaluations.append(None)
        for place, batch in enumerate(eval_batches(*arguments, **options)):
            if len(evaluations) == number and place == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    monkeypatch.setattr(loader, "eval_batches", batches)


def assert_same_end(config, whole, parts):
    """Parameters, velocity and schedule bit for bit, and all evaluations."""
    for expected, found in zip(
        jax.tree.leaves(final_state(config, whole)),
        jax.tree.leaves(final_state(config, parts)),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
    assert records(whole, "eval") == records(parts, "eval")


@pytest.fixture(scope="module")
def whole(digits_dir, tmp_path_factory):
    """The undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    train.train_and_evaluate(digits_in_short(digits_dir), folder)
    return folder


@pytest.mark.parametrize("step", [7, 23, 29])
def test_resume_is_exact(config, whole, tmp_path, monkeypatch, step):
    """Stopped in the first epoch, at its end, or in the second, and resumed."""
    with monkeypatch.context() as patch:
        interrupt_after(patch, step)
        with pytest.raises(interruption.Interrupted, match=f"saved at step {step}"):
            train.train_and_evaluate(config, tmp_path)
    outcome = train.train_and_evaluate(config, tmp_path)
    assert outcome.step == 32 and not outcome.was_complete
    assert_same_end(config, whole, tmp_path)


@pytest.mark.parametrize("number, step", [(1, 23), (2, 32)])
def test_stopped_in_an_evaluation(config, whole, tmp_path, monkeypatch, number, step):
    """The state is saved without it; resuming evaluates, even at the very end."""
    with monkeypatch.context() as patch:
        interrupt_in_evaluation(patch, number)
        with pytest.raises(interruption.Interrupted, match=f"saved at step {step}"):
            train.train_and_evaluate(config, tmp_path)
    evaluations = records(tmp_path, "eval")
    assert [record["step"] for record in evaluations] == [23, 32][: number - 1]
    outcome = train.train_and_evaluate(config, tmp_path)
    assert outcome.step == 32 and not outcome.was_complete
    assert outcome.evaluation
    assert_same_end(config, whole, tmp_path)
    assert train.train_and_evaluate(config, tmp_path).was_complete


def test_an_evaluation_that_was_logged_but_not_saved(
    config, whole, tmp_path, monkeypatch
):
    """Killed between the record and the checkpoint: the record appears once."""
    with monkeypatch.context() as patch:
        interrupt_in_evaluation(patch, 1)
        with pytest.raises(interruption.Interrupted):
            train.train_and_evaluate(config, tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(records(whole, "eval")[0]) + "\n")
    train.train_and_evaluate(config, tmp_path)
    assert_same_end(config, whole, tmp_path)


def test_time_that_is_over_saves(config, tmp_path):
    run = dataclasses.replace(config.run, max_minutes=1e-9)
    limited = dataclasses.replace(config, run=run)
    with pytest.raises(
        interruption.Interrupted, match="max-minutes .* stopped and saved at step 1"
    ):
        train.train_and_evaluate(limited, tmp_path)
    assert final_state(config, tmp_path).step == 1


@pytest.mark.parametrize("where", ["training", "evaluation"])
def test_damaged_data_saves_first(config, whole, tmp_path, monkeypatch, where):
    """A record that can no longer be read ends the run, which loses nothing: with the
    record again it goes on as if nothing had been."""
    load = loader._load
    batches = []

    def broken(read, indices, *arguments):
        batches.append(len(indices))
        if len(batches) > (15 if where == "training" else 25):
            raise DamagedRecord("dataset digits, record 7 cannot be read")
        return load(read, indices, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loader, "_load", broken)
        with pytest.raises(DamagedRecord, match="record 7 .* saved at step"):
            train.train_and_evaluate(config, tmp_path)
    saved = int(final_state(config, tmp_path).step)
    assert saved == 23 if where == "evaluation" else 5 < saved < 23
    train.train_and_evaluate(config, tmp_path)
    assert_same_end(config, whole, tmp_path)


def test_a_run_that_ended_at_a_damaged_record_may_skip_it(config, tmp_path):
    """The remedy of the message works in the same directory."""
    short = dataclasses.replace(config, num_epochs=0.5)
    train.train_and_evaluate(short, tmp_path)
    skipping = dataclasses.replace(
        config, data=dataclasses.replace(config.data, damaged="skip")
    )
    assert train.train_and_evaluate(skipping, tmp_path).step == 32


def test_deterministic_runs_are_equal(config, tmp_path):
    """In two processes' worth of compilation; --run.deterministic is taken by XLA."""
    run = dataclasses.replace(config.run, deterministic=True)
    one = dataclasses.replace(config, run=run, num_epochs=0.5)
    for name in ("first", "second"):
        train.train_and_evaluate(one, tmp_path / name)
    assert_same_end(one, tmp_path / "first", tmp_path / "second")


def test_a_second_run_is_refused(config, tmp_path):
    held = lock.Lock(tmp_path)
    with pytest.raises(lock.Taken, match="another process is using"):
        train.train_and_evaluate(config, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [lock.FILE]
    held.release()


def test_a_device_without_memory(config, tmp_path, monkeypatch):
    def no_memory(state, batch, key, images, **options):
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 7 bytes."
        )

    monkeypatch.setattr(train.train_step, "train_step", no_memory)
    with pytest.raises(
        Fault, match=r"--microbatches \(now 1\).*--batch-size \(now 64\).*bfloat16"
    ):
        train.train_and_evaluate(config, tmp_path)


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
    for what in ("gradient_norm", "update_norm"):
        layers = {n.split("/")[1] for n in record if n.startswith(f"{what}/")}
        assert layers == set(CONV_LAYERS + DENSE_LAYERS)
    assert list((tmp_path / "tensorboard").iterdir())
    (start,) = json.loads((tmp_path / "manifest.json").read_text())
    assert start["mesh"] == {"data": 1, "column": 2}


def test_norms_of_layers_make_up_the_whole(config, tmp_path):
    """At each step, and the update of a frozen layer is zero."""
    rates = (("conv1", 0.0, 0.0),)
    one_by_one = dataclasses.replace(
        config,
        num_epochs=0.1,
        run=dataclasses.replace(config.run, log_every_steps=1),
        optimizer=dataclasses.replace(config.optimizer, layer_rates=rates),
    )
    train.train_and_evaluate(one_by_one, tmp_path)
    found = records(tmp_path, "train")
    assert len(found) == 3
    for record in found:
        each = [v for name, v in record.items() if name.startswith("gradient_norm/")]
        whole = np.sqrt(np.sum(np.square(each)))
        np.testing.assert_allclose(record["gradient_norm"], whole, rtol=1e-5)
        assert record["gradient_norm/conv1"] > 0 == record["update_norm/conv1"]
        assert record["update_norm/fc8"] > 0


def test_nan_stops_the_run_and_keeps_the_last_checkpoint(config, tmp_path):
    """A rate that makes the second epoch diverge: the step is named, and the state of
    the end of the first epoch is still there."""
    diverging = dataclasses.replace(
        config,
        optimizer=dataclasses.replace(
            config.optimizer, layer_rates=(("fc8", 1.0, 1e6),)
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
    with pytest.raises(UserError, match="--seed: 0 there, 1 now"):
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


def test_watchdog_warns_once(config, tmp_path, capsys):
    """Kernels of zero deviation keep the loss at chance, which causes one warning."""
    model = dataclasses.replace(
        config.model,
        dropout_rate=0.0,
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
    assert capsys.readouterr().out.count("still at chance") == 1


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
    found = metrics.top_error(logits, np.array([label], np.int32), best)
    np.testing.assert_allclose(found, [error], rtol=1e-6)
