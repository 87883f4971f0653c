"""checkpoint.py: the last ones and the best one are kept, and come back to the bit; a
damaged one is named and passed over, one of another architecture refused."""

import contextlib
import dataclasses
import json
import os
import pickle
import random
import shutil

import jax
import numpy as np
import pytest

from alexnet_jax import columns, presets, train_step
from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import Fault, UserError
from alexnet_jax.training import checkpoint, checkpoint_files
from alexnet_jax.training.checkpoint_files import SEAL, find_fault, write_seal

ORDER = {"seed": 0}
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
    """States that can be told apart."""
    return state._replace(step=jax.device_put(np.int32(step), state.step.sharding))


@pytest.fixture(scope="module")
def written(state, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    with checkpoint.Checkpoints(folder, keep=2) as opened:
        for step, error in enumerate(ERRORS, start=1):
            opened.save(at_step(state, step), step, ORDER, {"top1_error": error})
    return folder


@pytest.fixture
def directory(written, tmp_path):
    """Checkpoints of the steps 2, 4 and 5."""
    return shutil.copytree(written, tmp_path / "run" / "checkpoints")


def steps(directory):
    return sorted(int(path.name) for path in directory.iterdir())


def restored_step(directory, abstract):
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        found = opened.restore(abstract, data_order=ORDER)
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
        found = opened.restore(abstract, data_order=ORDER)
    assert found is not None
    for expected, leaf in zip(
        jax.tree.leaves(at_step(state, 5)), jax.tree.leaves(found), strict=True
    ):
        np.testing.assert_array_equal(leaf, expected)
        assert leaf.sharding.mesh.shape["data"] == 4


def test_other_facts_are_refused(directory, abstract):
    with (
        checkpoint.Checkpoints(directory, keep=2) as opened,
        pytest.raises(UserError, match="step 5 was made with seed 0, now it is 7"),
    ):
        opened.restore(abstract, data_order={"seed": 7})


def test_nothing_to_restore(tmp_path, abstract):
    assert restored_step(tmp_path, abstract) is None


def test_an_interrupted_state_is_newest_without_metrics(directory, state):
    """Saved without an evaluation: it is the one to resume from, never the best."""
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        opened.save(state, 6, ORDER, None)
    assert steps(directory) == [2, 5, 6]
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        assert opened.newest_metrics == {}


def test_the_evaluation_is_added(directory, state):
    """The same step once more, with its evaluation: it replaces the one without."""
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        opened.save(state, 6, ORDER, None)
        opened.save(state, 6, ORDER, {"top1_error": 0.05})
    assert steps(directory) == [5, 6]
    assert [path.name for path in directory.parent.iterdir()] == ["checkpoints"]
    with checkpoint.Checkpoints(directory, keep=2) as opened:
        assert opened.newest_metrics == {"top1_error": 0.05}


@pytest.mark.parametrize("successor", [False, True])
def test_killed_while_one_is_replaced(directory, abstract, successor):
    """It comes back, unless its successor was complete."""
    place = directory.with_name("replaced_checkpoint")
    place.mkdir()
    shutil.copytree(directory / "5", place / "5")
    if not successor:
        os.rename(directory / "5", directory / "5.orbax-checkpoint-tmp")
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
        if path.name != SEAL:
            before = path.read_bytes()
            damage(path)
            assert path.name in str(find_fault(folder))
            path.write_bytes(before)
    assert find_fault(folder) is None


@pytest.mark.parametrize("damage", [remove, cut, alter])
def test_a_damaged_one_is_named_and_passed_over(directory, abstract, damage, capfd):
    largest = max(files(directory / "5"), key=lambda path: path.stat().st_size)
    damage(largest)
    assert checkpoint.read_state(directory, abstract, "newest")[0] == 4
    assert steps(directory) == [2, 4, 5]  # a reader leaves the run alone
    assert restored_step(directory, abstract) == 4
    assert steps(directory) == [2, 4]
    assert steps(directory.with_name("damaged_checkpoints")) == [5]
    errors = capfd.readouterr().err
    assert errors.count("warning: the checkpoint of step 5 is damaged") == 2
    assert largest.name in errors and len(errors.splitlines()) == 2


def test_older_damage_does_not_matter(directory, abstract):
    """Also where Orbax would stumble over it."""
    cut(directory / "2" / "metrics" / "metrics")
    assert checkpoint.read_state(directory, abstract, "best")[0] == 5
    assert restored_step(directory, abstract) == 5
    assert steps(directory) == [4, 5]


def test_all_damaged(directory, abstract):
    """Nothing begins anew by itself, and nothing is moved."""
    for folder in directory.iterdir():
        cut(max(files(folder), key=lambda path: path.stat().st_size))
    with pytest.raises(UserError, match="all checkpoints .* are damaged"):
        checkpoint.Checkpoints(directory, keep=2)
    with pytest.raises(UserError, match="no intact checkpoint 'newest'"):
        checkpoint.read_state(directory, abstract, "newest")
    assert steps(directory) == [2, 4, 5]


def test_one_without_a_seal_is_not_complete(directory, abstract, capfd):
    """Killed between Orbax's commit and the seal."""
    (directory / "5" / SEAL).unlink()
    assert restored_step(directory, abstract) == 4
    assert "step 5 is damaged and skipped" in capfd.readouterr().err


def test_killed_before_the_first_was_sealed(directory, abstract):
    """The run begins anew."""
    for step in ("2", "4"):
        shutil.rmtree(directory / step)
    (directory / "5" / SEAL).unlink()
    assert restored_step(directory, abstract) is None


def test_another_architecture_is_refused(directory, mesh):
    """With the leaves that differ, and nothing is set aside."""
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
        opened.restore(abstract, data_order=ORDER)
    told = f"params/fc6/bias: float32[{features}] there, float32[{2 * features}] now"
    assert told in str(raised.value)
    assert "params/conv3/bias: float32" in str(raised.value)
    assert "absent now" in str(raised.value)
    with pytest.raises(UserError, match="another architecture"):
        checkpoint.read_state(directory, abstract, "best")
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
            checkpoint.read_state(directory, abstract, "5")
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
        opened.save(state, 6, ORDER, None)
        with pytest.raises(Fault, match="No space left on device.* step 6 is kept"):
            opened.wait()
    assert json.loads((directory / "5/metrics/metrics").read_text())
