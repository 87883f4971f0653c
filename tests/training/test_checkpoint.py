"""Checkpoints: the newest and the best are kept and restored to the bit. A damaged one
is reported and skipped, one of another run or architecture is refused."""

import contextlib
import dataclasses
import json
import os
import pickle
import random
import shutil
import subprocess

import jax
import numpy as np
import pytest

from alexnet_jax import columns, config_json, presets, train_step
from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import Fault, UserError
from alexnet_jax.system import atomic_files
from alexnet_jax.training import checkpoint, checkpoint_files, checkpoint_reading
from alexnet_jax.training.checkpoint_files import SEAL, Lost, find_fault, write_seal

RUN = {
    "config": config_json.to_json(presets.DIGITS),
    "data": {"train": {"dataset": "digits train", "sample": ["1a", "", "2b"]}},
}
# Top-1 errors of five evaluations; the second is the best.
ERRORS = [0.5, 0.1, 0.4, 0.3, 0.2]


def make_mesh(**sides):
    return columns.make_mesh(MeshConfig(**sides), 2, jax.devices())


@pytest.fixture(scope="module")
def mesh():
    return make_mesh(data=1, column=2)


@pytest.fixture(scope="module")
def state(mesh):
    with jax.set_mesh(mesh):
        return train_step.create_train_state(presets.DIGITS, mesh, jax.random.key(0))


@pytest.fixture(scope="module")
def abstract(mesh):
    return train_step.abstract_train_state(presets.DIGITS, mesh)


def at_step(state, step):
    """A state that differs from those of other steps."""
    return state._replace(step=jax.device_put(np.int32(step), state.step.sharding))


@pytest.fixture(scope="module")
def written(state, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    with checkpoint.Checkpoints(folder, keep=2) as opened:
        for step, error in enumerate(ERRORS, start=1):
            opened.save(at_step(state, step), step, RUN, {"top1_error": error})
    return folder


@pytest.fixture
def directory(written, tmp_path):
    """Checkpoints of the steps 2, 4 and 5."""
    return shutil.copytree(written, tmp_path / "run" / "checkpoints")


def steps(directory):
    return sorted(int(path.name) for path in directory.iterdir())


def restored_step(directory, abstract):
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        found = opened.restore(abstract, run=RUN)
    return None if found is None else int(found.step)


def test_keeps_the_last_two_and_the_best(directory):
    assert steps(directory) == [2, 4, 5]
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        assert opened.newest_step == 5
        assert opened.newest_metrics == {"top1_error": 0.2}


def test_restores_to_the_bit_and_to_another_mesh(directory, state):
    other = make_mesh(data=4, column=1)
    abstract = train_step.abstract_train_state(presets.DIGITS, other)
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        found = opened.restore(abstract, run=RUN)
    assert found is not None
    for expected, leaf in zip(
        jax.tree.leaves(at_step(state, 5)), jax.tree.leaves(found), strict=True
    ):
        np.testing.assert_array_equal(leaf, expected)
        assert leaf.sharding.mesh.shape["data"] == 4


def other_run(**changes):
    return RUN | {"config": RUN["config"] | changes}


def other_data(**changes):
    return RUN | {"data": {"train": RUN["data"]["train"] | changes}}


@pytest.mark.parametrize(
    "run, message",
    [
        (other_run(seed=7), "--seed: 0 there, 7 now"),
        (other_data(dataset="mnist"), "train: digits train there, mnist now"),
        (other_data(sample=["1a", "", "0"]), "1 of 3 sampled images or labels"),
    ],
)
def test_another_run_is_refused(directory, abstract, run, message):
    """Even if `config.json` differs or is missing; nothing is moved."""
    with (
        checkpoint.Checkpoints(directory, keep=2) as opened,
        pytest.raises(UserError, match=message) as raised,
    ):
        opened.restore(abstract, run=run)
    assert str(directory / "5") in str(raised.value)
    assert steps(directory) == [2, 4, 5]


def test_a_longer_run_and_a_damaged_example_are_not_refused(directory, abstract):
    for run in (other_run(num_epochs=99), other_data(sample=["1a", "7", ""])):
        with checkpoint.Checkpoints(directory, keep=2) as opened:
            assert opened.restore(abstract, run=run) is not None


def test_a_checkpoint_of_an_older_version_is_refused(directory, state, abstract):
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        opened.save(at_step(state, 6), 6, {"seed": 0}, None)
        opened.wait()
        with pytest.raises(UserError, match="6 was written by an older version"):
            opened.restore(abstract, run=RUN)


def test_nothing_to_restore(tmp_path, abstract):
    assert restored_step(tmp_path, abstract) is None


def test_an_interrupted_state_is_newest_without_metrics(directory, state):
    """Saved without an evaluation: it is the one to resume from, never the best."""
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        opened.save(state, 6, RUN, None)
    assert steps(directory) == [2, 5, 6]
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        assert opened.newest_metrics == {}


def test_the_evaluation_is_added(directory, state):
    """The same step once more, with its evaluation: it replaces the one without."""
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        opened.save(state, 6, RUN, None)
        opened.save(state, 6, RUN, {"top1_error": 0.05})
    assert steps(directory) == [5, 6]
    assert [path.name for path in directory.parent.iterdir()] == ["checkpoints"]
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        assert opened.newest_metrics == {"top1_error": 0.05}


@pytest.mark.parametrize("successor", ["none", "unsealed", "complete"])
def test_killed_while_one_is_replaced(directory, abstract, successor):
    """It is restored unless its successor was complete."""
    place = directory.with_name("replaced_checkpoint")
    place.mkdir()
    shutil.copytree(directory / "5", place / "5")
    if successor == "none":
        os.rename(directory / "5", directory / "5.orbax-checkpoint-tmp")
    if successor == "unsealed":
        (directory / "5" / SEAL).unlink()
    assert restored_step(directory, abstract) == 5
    assert steps(directory) == [2, 4, 5] and not list(place.iterdir())


# --- damage ---------------------------------------------------------------------------


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def remove(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def alter(path):
    content = bytearray(path.read_bytes())
    place = random.Random(path.name).randrange(len(content))
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [remove, cut, alter])
def test_any_damaged_file_is_found(directory, damage):
    folder = directory / "5"
    assert find_fault(folder) is None
    for path in files(folder):
        before = path.read_bytes()
        damage(path)
        assert path.name in str(find_fault(folder))
        path.write_bytes(before)
    assert find_fault(folder) is None


def empty(seal):
    seal.write_bytes(b"")


def cut_at_a_line_end(seal):
    seal.write_text("".join(seal.read_text().splitlines(keepends=True)[:3]))


def cut_before_the_last_line(seal):
    seal.write_text("".join(seal.read_text().splitlines(keepends=True)[:-1]))


def leave_out_a_line(seal):
    lines = seal.read_text().splitlines(keepends=True)
    seal.write_text("".join(lines[1:]))


@pytest.mark.parametrize(
    "damage", [empty, cut_at_a_line_end, cut_before_the_last_line, leave_out_a_line]
)
def test_the_seal_protects_itself(directory, abstract, damage):
    """Otherwise a shorter list would let the other files change."""
    damage(directory / "5" / SEAL)
    assert f"{SEAL} is damaged" in str(find_fault(directory / "5"))
    assert restored_step(directory, abstract) == 4


def test_the_seal_is_for_sha256sum(directory):
    result = subprocess.run(
        ["sha256sum", "--check", "--strict", SEAL],
        cwd=directory / "5",
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.count(": OK\n") == len(files(directory / "5")) - 1


def test_a_file_too_many_is_found(directory):
    (directory / "5" / "state" / "extra").touch()
    assert "'state/extra' does not belong" in str(find_fault(directory / "5"))


def test_a_copy_of_another_step_is_not_the_newest(directory, abstract, capfd):
    shutil.copytree(directory / "4", directory / "200")
    assert checkpoint_reading.read_state(directory, abstract, "newest")[0] == 5
    assert restored_step(directory, abstract) == 5
    assert (
        "200 is damaged and skipped: it is a copy of step 4" in capfd.readouterr().err
    )


def remove_content(folder):
    shutil.rmtree(folder / "state" / "d")


def unreadable_structure(folder):
    (folder / "state" / "_METADATA").write_text("{")


@pytest.mark.parametrize("damage", [remove_content, unreadable_structure])
def test_one_that_cannot_be_loaded_is_skipped(directory, abstract, damage, capfd):
    """Although all checksums match, as in files of another version."""
    damage(directory / "5")
    write_seal(directory / "5")
    assert checkpoint_reading.read_state(directory, abstract, "newest")[0] == 4
    assert restored_step(directory, abstract) == 4
    assert steps(directory.with_name("damaged_checkpoints")) == [5]
    errors = capfd.readouterr().err
    assert errors.count("step 5 is damaged and skipped: it cannot be loaded") == 2
    assert errors.count("; step 4 is used") == 2


def test_one_that_does_not_say_of_which_run_it_is(directory, abstract):
    (directory / "5" / "_CHECKPOINT_METADATA").write_text("{")
    write_seal(directory / "5")
    with pytest.raises(UserError, match="5 was written by an older version"):
        restored_step(directory, abstract)


def test_none_can_be_loaded(directory, abstract):
    for folder in directory.iterdir():
        remove_content(folder)
        write_seal(folder)
    with pytest.raises(Lost, match="can be loaded; they are in damaged_checkpoints"):
        restored_step(directory, abstract)


@pytest.mark.parametrize("content", ["{}", "[]", '{"top1_error": null}', "{"])
@pytest.mark.parametrize("step", [4, 5])
def test_metrics_that_say_nothing(directory, abstract, step, content):
    """Orbax reads the metrics of every checkpoint, so the run would be stuck."""
    (directory / str(step) / "metrics" / "metrics").write_text(content)
    write_seal(directory / str(step))
    assert restored_step(directory, abstract) == (5 if step == 4 else 4)
    assert steps(directory.with_name("damaged_checkpoints")) == [step]


def test_saved_ones_are_missed(directory, abstract, capfd):
    """A missing step is reported; if all are missing, nothing starts over."""
    with checkpoint.Checkpoints(directory, keep=2, saved_step=6) as opened:
        assert opened.newest_step == 5
    assert "step 6 is gone; step 5 is used" in capfd.readouterr().err
    for step in (2, 4, 5):
        (directory / str(step) / SEAL).unlink()
    with pytest.raises(Lost, match="are damaged:\n  5: it has no SHA256SUMS"):
        checkpoint.Checkpoints(directory, keep=2, saved_step=5)
    assert steps(directory) == [2, 4, 5]
    shutil.rmtree(directory)
    with pytest.raises(Lost, match="no checkpoint, though step 5 was saved"):
        checkpoint.Checkpoints(directory, keep=2, saved_step=5)


def test_everything_is_on_disk_before_the_seal(directory, monkeypatch):
    """Then the seal and its name."""
    synced = []
    sync = atomic_files.sync
    monkeypatch.setattr(
        atomic_files, "sync", lambda path: (synced.append(path), sync(path))
    )
    folder = directory / "5"
    (folder / SEAL).unlink()
    everything = {folder, directory, *folder.rglob("*")}
    write_seal(folder)
    assert set(synced[:-2]) == everything
    assert synced[-2].parent == folder and synced[-1] == folder


@pytest.mark.parametrize("damage", [remove, cut, alter])
def test_a_damaged_checkpoint_is_skipped(directory, abstract, damage, capfd):
    largest = max(files(directory / "5"), key=lambda path: path.stat().st_size)
    damage(largest)
    assert checkpoint_reading.read_state(directory, abstract, "newest")[0] == 4
    assert steps(directory) == [2, 4, 5]  # a reader leaves the run alone
    assert restored_step(directory, abstract) == 4
    assert steps(directory) == [2, 4]
    assert steps(directory.with_name("damaged_checkpoints")) == [5]
    errors = capfd.readouterr().err
    assert errors.count("warning: the checkpoint of step 5 is damaged") == 2
    assert largest.name in errors and len(errors.splitlines()) == 2


def test_older_damage_does_not_matter(directory, abstract):
    """Even of metrics, which Orbax reads from every checkpoint."""
    cut(directory / "2" / "metrics" / "metrics")
    assert checkpoint_reading.read_state(directory, abstract, "best")[0] == 5
    assert restored_step(directory, abstract) == 5
    assert steps(directory) == [4, 5]


def test_all_damaged(directory, abstract):
    """The run does not start over by itself, and nothing is moved."""
    for folder in directory.iterdir():
        cut(max(files(folder), key=lambda path: path.stat().st_size))
    with pytest.raises(UserError, match="all checkpoints .* are damaged"):
        checkpoint.Checkpoints(directory, keep=2)
    with pytest.raises(UserError, match="no intact checkpoint 'newest'"):
        checkpoint_reading.read_state(directory, abstract, "newest")
    assert steps(directory) == [2, 4, 5]


def test_one_without_a_seal_is_not_complete(directory, abstract, capfd):
    """Killed between Orbax's commit and the seal."""
    (directory / "5" / SEAL).unlink()
    assert restored_step(directory, abstract) == 4
    assert "step 5 is damaged and skipped" in capfd.readouterr().err


def test_killed_before_the_first_was_sealed(directory, abstract):
    """The run starts over."""
    for step in ("2", "4"):
        shutil.rmtree(directory / step)
    (directory / "5" / SEAL).unlink()
    assert restored_step(directory, abstract) is None


def test_another_architecture_is_refused(directory, mesh):
    """The message lists the leaves that differ, and nothing is moved."""
    model = presets.DIGITS.model
    wider = dataclasses.replace(model.fc6, features=2 * model.fc6.features)
    other = dataclasses.replace(
        presets.DIGITS,
        model=dataclasses.replace(model, fc6=wider, without=("conv3",)),
    )
    abstract = train_step.abstract_train_state(other, mesh)
    features = model.fc6.features
    with (
        checkpoint.Checkpoints(directory, keep=2) as opened,
        pytest.raises(UserError, match="another architecture") as raised,
    ):
        opened.restore(abstract, run=RUN)
    told = f"params/fc6/bias: float32[{features}] there, float32[{2 * features}] now"
    assert told in str(raised.value)
    assert "params/conv3/bias: float32" in str(raised.value)
    assert "absent now" in str(raised.value)
    with pytest.raises(UserError, match="another architecture"):
        checkpoint_reading.read_state(directory, abstract, "best")
    assert steps(directory) == [2, 4, 5]


class Planted:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (os.mkdir, (str(self.place),))


@pytest.mark.parametrize("sealed", [False, True])
def test_no_pickle_is_loaded(directory, abstract, tmp_path, sealed):
    """Files that would run code if they were unpickled are found, or, in a checkpoint
    that somebody has sealed, refused as what they are not."""
    planted = Planted(tmp_path / "executed")
    names = ["_CHECKPOINT_METADATA", "metrics/metrics", "state/_METADATA"]
    for name in names:
        path = directory / "5" / name
        before = path.read_bytes()
        path.write_bytes(pickle.dumps(planted))
        if sealed:
            (directory / "5" / SEAL).unlink()
            write_seal(directory / "5")
        with contextlib.suppress(ValueError, OSError, KeyError, TypeError):
            checkpoint_reading.read_state(directory, abstract, "5")
        path.write_bytes(before)
    assert not planted.place.exists()
    pickle.loads(pickle.dumps(planted))
    assert planted.place.exists()


def test_a_disk_that_is_full(directory, state, monkeypatch):
    """The message says which checkpoint is kept."""
    with checkpoint.Checkpoints(directory, keep=2) as opened:

        def full(folder):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(checkpoint_files, "write_seal", full)
        opened.save(state, 6, RUN, None)
        with pytest.raises(Fault, match="No space left on device.* step 6 is kept"):
            opened.wait()
    assert json.loads((directory / "5/metrics/metrics").read_text())
