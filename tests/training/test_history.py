"""A run and its past: what was saved is missed when it is gone, what is trained on is
compared, each start is recorded, and nothing that trains nothing writes."""

import dataclasses
import io
import json
import os
import shutil
import threading

import numpy as np
import pytest

from alexnet_jax import presets, train
from alexnet_jax.config import MeshConfig
from alexnet_jax.data import source
from alexnet_jax.errors import Fault, UserError
from alexnet_jax.system import streams
from alexnet_jax.training import epoch_end, manifest, metrics_writer


@pytest.fixture(scope="module")
def config(digits_dir):
    """Four steps per epoch, two epochs."""
    base = presets.DIGITS
    return dataclasses.replace(
        base,
        num_epochs=2,
        data=dataclasses.replace(
            base.data, data_dir=digits_dir, train_split="train[:256]"
        ),
        run=dataclasses.replace(
            base.run, mesh=MeshConfig(data=1, column=2), log_every_steps=2
        ),
    )


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    train.train_and_evaluate(config, directory)
    return directory


@pytest.fixture
def run(trained, tmp_path):
    """A finished run of eight steps, with checkpoints of the steps 4 and 8."""
    return shutil.copytree(trained, tmp_path / "run")


def longer(config, **run):
    return dataclasses.replace(
        config, num_epochs=3, run=dataclasses.replace(config.run, **run)
    )


def starts(directory):
    return json.loads((directory / manifest.FILE).read_text())


def content(directory):
    """All files but the lock, which each start opens."""
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


# --- the past -------------------------------------------------------------------------


def lose_the_checkpoints(run):
    shutil.rmtree(run / "checkpoints")


def lose_the_seals(run):
    for seal in run.glob("checkpoints/*/SHA256SUMS"):
        seal.unlink()


def lose_checkpoints_and_manifest(run):
    lose_the_checkpoints(run)
    (run / manifest.FILE).unlink()


LOSSES = [lose_the_checkpoints, lose_the_seals, lose_checkpoints_and_manifest]


@pytest.mark.parametrize("lose", LOSSES)
def test_lost_checkpoints_do_not_start_over_in_silence(config, run, lose):
    lose(run)
    before = content(run)
    with pytest.raises(UserError, match="--run.start-over"):
        train.train_and_evaluate(config, run)
    assert content(run) == before


@pytest.mark.parametrize("lose", LOSSES)
def test_starting_over_on_purpose(config, run, trained, lose):
    """What was left is kept, and the same command resumes afterwards."""
    lose(run)
    evaluations = (trained / "metrics.jsonl").read_text().count('"eval"')
    on_purpose = longer(config, start_over=True)
    outcome = train.train_and_evaluate(on_purpose, run)
    assert outcome.step == 12
    assert (run / "before_start_over-1" / "metrics.jsonl").exists()
    records = (run / "metrics.jsonl").read_text()
    assert records.count('"eval"') == evaluations + 1
    again = train.train_and_evaluate(on_purpose, run)
    assert again.was_complete and not (run / "before_start_over-2").exists()
    lose_the_checkpoints(run)
    with pytest.raises(UserError, match="step 12 was saved"):
        train.train_and_evaluate(config, run)


def test_killed_in_the_first_epoch(config, run):
    """Nothing was saved yet, so nothing is lost, and it starts over by itself."""
    lose_the_checkpoints(run)
    killed = starts(run)[:1]
    killed[0] |= {"saved_step": 0, "ended": None, "outcome": None}
    (run / manifest.FILE).write_text(json.dumps(killed))
    assert train.train_and_evaluate(config, run).step == 8


@pytest.mark.parametrize(
    "records, message",
    [
        (None, "ends at step 0, and the checkpoint is of step 8"),
        (b"", "ends at step 0, and the checkpoint is of step 8"),
        (b'{"kind": "train", "step": 2}\n{"kind": "ev', "ends at step 2"),
        (b'{"kind": "train", "step": 2}\n{"kind": "ev', "1 incomplete lines removed"),
    ],
)
def test_lost_records_are_named(config, run, records, message, capfd):
    (run / "metrics.jsonl").unlink()
    if records is not None:
        (run / "metrics.jsonl").write_bytes(records)
    assert train.train_and_evaluate(longer(config), run).step == 12
    assert message in capfd.readouterr().err


def test_undamaged_records_cause_no_warning(config, run, capfd):
    train.train_and_evaluate(longer(config), run)
    assert capfd.readouterr().err == ""


# --- the data -------------------------------------------------------------------------


def test_inverted_images_under_the_same_name_are_refused(config, run, monkeypatch):
    """Name, version, splits and counts are the same, and so are the labels."""
    read = source._from_records

    def inverted(*arguments):
        fetch = read(*arguments)

        def wrapped(index, out):
            label = fetch(index, out)
            np.subtract(255, out, out=out)
            return label

        return wrapped

    monkeypatch.setattr(source, "_from_records", inverted)
    with pytest.raises(UserError, match="64 of 64 sampled images or labels"):
        train.train_and_evaluate(longer(config), run)


def test_without_its_configuration_a_run_is_still_itself(config, run):
    """Another learning rate does not slip in when config.json is deleted."""
    (run / "config.json").unlink()
    other = dataclasses.replace(
        longer(config),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=0.02),
    )
    with pytest.raises(UserError, match="learning-rate: 0.01 there, 0.02 now"):
        train.train_and_evaluate(other, run)
    assert not (run / "config.json").exists()
    assert train.train_and_evaluate(longer(config), run).step == 12


# --- the manifest ---------------------------------------------------------------------


def test_each_start_is_recorded(config, run):
    first = starts(run)
    train.train_and_evaluate(longer(config), run)
    both = starts(run)
    assert both[:1] == first
    assert [start["first_step"] for start in both] == [0, 8]
    assert [start["saved_step"] for start in both] == [8, 12]
    assert [start["outcome"] for start in both] == ["complete", "complete"]
    for name in ("commit", "versions", "host", "processor", "cores", "ended"):
        assert both[1][name]
    assert both[1]["xla_flags"] == os.environ.get("XLA_FLAGS", "")


def test_how_a_start_ended(config, tmp_path):
    with pytest.raises(FloatingPointError):
        train.train_and_evaluate(
            dataclasses.replace(
                config,
                optimizer=dataclasses.replace(
                    config.optimizer, layer_rates=(("fc8", 0.0, 1e6),)
                ),
            ),
            tmp_path,
        )
    (start,) = starts(tmp_path)
    assert "at step" in start["outcome"] and start["saved_step"] == 0


def test_a_manifest_of_an_older_version_becomes_the_first_start(config, run):
    (run / manifest.FILE).write_text(json.dumps({"command": ["then"]}))
    train.train_and_evaluate(longer(config), run)
    assert [start["command"] for start in starts(run)][0] == ["then"]
    assert len(starts(run)) == 2


@pytest.mark.parametrize("text", ["7", "[7]", "{"])
def test_a_damaged_manifest_is_one_message(config, run, text):
    (run / manifest.FILE).write_text(text)
    with pytest.raises(UserError, match=manifest.FILE):
        train.train_and_evaluate(longer(config), run)


@pytest.mark.parametrize("num_epochs", [1, 2])
def test_a_command_that_trains_nothing_writes_nothing(config, run, num_epochs):
    before = content(run)
    shorter = dataclasses.replace(config, num_epochs=num_epochs)
    outcome = train.train_and_evaluate(shorter, run)
    assert outcome.was_complete and (outcome.step, outcome.epochs) == (8, 2)
    assert content(run) == before


# --- saving, whatever ends a run ------------------------------------------------------


def test_an_unexpected_error_saves_first(config, tmp_path, monkeypatch):
    after = epoch_end.EpochEnd.save_if_due

    def fails(self, state, step):
        if step == 6:
            raise ZeroDivisionError("a mistake in the code")
        after(self, state, step)

    with monkeypatch.context() as patch:
        patch.setattr(epoch_end.EpochEnd, "save_if_due", fails)
        with pytest.raises(ZeroDivisionError) as raised:
            train.train_and_evaluate(config, tmp_path)
    assert raised.value.__notes__ == ["The state is saved at step 6."]
    assert starts(tmp_path)[0]["outcome"] == "a mistake in the code"
    assert train.train_and_evaluate(config, tmp_path).step == 8
    assert starts(tmp_path)[1]["first_step"] == 6


def test_saves_within_an_epoch(config, tmp_path, monkeypatch):
    """Here after each step. Those at the end of an epoch keep their evaluation."""
    often = longer(config, checkpoint_minutes=1e-9, keep_checkpoints=9)
    train.train_and_evaluate(often, tmp_path)
    for step in (4, 8, 12):
        assert (tmp_path / "checkpoints" / str(step) / "metrics").exists()
    folders = {int(path.name) for path in (tmp_path / "checkpoints").iterdir()}
    assert {5, 6, 7, 8, 9, 10, 11, 12} <= folders
    shutil.rmtree(tmp_path / "checkpoints" / "12")
    assert train.train_and_evaluate(often, tmp_path).step == 12
    assert starts(tmp_path)[1]["first_step"] == 11


@pytest.mark.parametrize("change", ["renamed", "deleted"])
def test_a_directory_that_goes_is_noticed(config, tmp_path, monkeypatch, change):
    after, run = epoch_end.EpochEnd.save_if_due, tmp_path / "run"

    def go(self, state, step):
        if step == 6:
            self._checkpoints.wait()
            if change == "renamed":
                os.rename(run, tmp_path / "elsewhere")
            else:
                shutil.rmtree(run)
        after(self, state, step)

    monkeypatch.setattr(epoch_end.EpochEnd, "save_if_due", go)
    with pytest.raises(Fault, match="moved or deleted during the run"):
        train.train_and_evaluate(config, run)
    assert not run.exists()
    monkeypatch.undo()
    if change == "renamed":
        assert train.train_and_evaluate(config, tmp_path / "elsewhere").step == 8


class Dead(io.StringIO):
    def write(self, text):
        raise OSError(5, "Input/output error")


def test_a_terminal_that_is_gone_costs_nothing(config, tmp_path, monkeypatch, capfd):
    streams._warn_once.cache_clear()
    monkeypatch.setattr("sys.stdout", Dead())
    assert train.train_and_evaluate(config, tmp_path).step == 8
    assert capfd.readouterr().err.count("output cannot be written") == 1


def test_records_are_on_disk_before_their_checkpoint(config, tmp_path, monkeypatch):
    calls = []
    sync, save = metrics_writer.MetricsWriter.sync, epoch_end.Checkpoints.save
    monkeypatch.setattr(
        metrics_writer.MetricsWriter,
        "sync",
        lambda self: (calls.append("records"), sync(self)),
    )
    monkeypatch.setattr(
        epoch_end.Checkpoints,
        "save",
        lambda self, *rest: (calls.append("checkpoint"), save(self, *rest)),
    )
    train.train_and_evaluate(config, tmp_path)
    assert calls == ["records", "checkpoint"] * 2


def own_threads():
    """Prefixes of the names of our threads that are alive."""
    names = {thread.name.partition("_")[0] for thread in threading.enumerate()}
    return names & {"seal", "decode"}


def test_no_thread_is_left(config, run, monkeypatch):
    """Both kinds exist while it trains, and neither does afterwards."""
    during = set()
    monkeypatch.setattr(
        epoch_end.EpochEnd,
        "finish",
        lambda self, *rest, finish=epoch_end.EpochEnd.finish: (
            finish(self, *rest),
            during.update(own_threads()),
        )[0],
    )
    train.train_and_evaluate(longer(config), run)
    assert during == {"seal", "decode"} and own_threads() == set()
