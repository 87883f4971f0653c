"""checkpoint.py: the last ones and the best one are kept, and come back to the bit."""

import jax
import numpy as np
import pytest

from alexnet_jax import checkpoint, columns, presets, train_state
from alexnet_jax.config import MeshConfig, UserError

FACTS = {"seed": 0}
# Top-1 errors of five evaluations; the second is the best.
ERRORS = [0.5, 0.1, 0.4, 0.3, 0.2]


@pytest.fixture(scope="module")
def mesh():
    return columns.make_mesh(MeshConfig(data=1, column=2), 2, jax.devices())


@pytest.fixture(scope="module")
def state(mesh):
    with jax.set_mesh(mesh):
        return train_state.create_train_state(presets.DIGITS, mesh, jax.random.key(0))


@pytest.fixture
def directory(state, tmp_path):
    with checkpoint.open_checkpoints(tmp_path, keep=2) as opened:
        for step, error in enumerate(ERRORS, start=1):
            checkpoint.save(opened, state, step, FACTS, {"top1_error": error})
    return tmp_path


def test_keeps_the_last_two_and_the_best(directory):
    with checkpoint.open_checkpoints(directory, keep=2) as opened:
        assert [found.step for found in opened.checkpoints] == [2, 4, 5]
        assert checkpoint.newest_metrics(opened) == {"top1_error": 0.2}


def test_restores_to_the_bit_and_to_another_mesh(directory, state):
    other = columns.make_mesh(MeshConfig(data=4, column=1), 2, jax.devices())
    abstract = train_state.abstract_train_state(presets.DIGITS, other)
    with checkpoint.open_checkpoints(directory, keep=2) as opened:
        found = checkpoint.restore(opened, abstract, facts=FACTS)
    assert found is not None
    for expected, leaf in zip(
        jax.tree.leaves(state), jax.tree.leaves(found), strict=True
    ):
        np.testing.assert_array_equal(leaf, expected)
        assert leaf.sharding.mesh.shape["data"] == 4


def test_other_facts_are_refused(directory, mesh):
    abstract = train_state.abstract_train_state(presets.DIGITS, mesh)
    with (
        checkpoint.open_checkpoints(directory, keep=2) as opened,
        pytest.raises(UserError, match="step 5 was made with seed 0, now it is 7"),
    ):
        checkpoint.restore(opened, abstract, facts={"seed": 7})


def test_nothing_to_restore(tmp_path, mesh):
    abstract = train_state.abstract_train_state(presets.DIGITS, mesh)
    with checkpoint.open_checkpoints(tmp_path, keep=2) as opened:
        assert checkpoint.restore(opened, abstract, facts=FACTS) is None


def test_an_interrupted_state_is_newest_without_metrics(directory, state):
    """Saved without an evaluation: it is the one to resume from, never the best."""
    with checkpoint.open_checkpoints(directory, keep=2) as opened:
        checkpoint.save(opened, state, 6, FACTS, None)
    with checkpoint.open_checkpoints(directory, keep=2) as opened:
        assert [found.step for found in opened.checkpoints] == [2, 5, 6]
        assert checkpoint.newest_metrics(opened) == {}
