"""The lines at the start of a run: true numbers, short lines."""

import dataclasses

import jax
import pytest

from alexnet_jax import presets, train_step
from alexnet_jax.config import MeshConfig
from alexnet_jax.training import run_summary, setup


def digits(digits_dir, **changes):
    data = dataclasses.replace(presets.DIGITS.data, data_dir=digits_dir)
    return dataclasses.replace(presets.DIGITS, data=data, **changes)


def lines(config, directory):
    """The lines of a run that has not begun."""
    run = setup.set_up(config, directory)
    try:
        with jax.set_mesh(run.mesh):
            key = jax.random.key(0)
            state = train_step.create_train_state(config, run.mesh, key)
            return run_summary.lines(run, state)
    finally:
        run.lock.release()


@pytest.mark.parametrize(
    "data, column, held, images",
    [(1, 1, "93,674", 64), (1, 2, "46,837", 64), (2, 2, "46,837", 32)],
)
def test_lines(digits_dir, tmp_path, data, column, held, images):
    """A device of one column holds half of the parameters, whatever its batch."""
    mesh = MeshConfig(data=data, column=column)
    config = digits(digits_dir, run=dataclasses.replace(presets.DIGITS.run, mesh=mesh))
    assert lines(config, tmp_path / "run") == {
        "preset": "digits",
        "dataset": "digits, 10 classes: 1,437 images (train), 360 (test)",
        "network": "93,674 parameters, 2 columns, crops of 24x24, float32",
        "devices": (
            f"{data} x {column} CPU (batch x columns), each {held} parameters and "
            f"{images} images"
        ),
        "training": ("40 epochs = 899 steps of 64 images, learning rate 0.01 (epochs)"),
        "output": str(tmp_path / "run"),
    }


def test_lines_fit_80_columns(digits_dir, tmp_path):
    for text in lines(digits(digits_dir), tmp_path / "run").values():
        if str(tmp_path) not in text:
            assert len(f"{'dataset':9}  {text}") <= 80


def test_the_preset_and_its_changes():
    assert run_summary.preset(presets.ALEXNET2012) == "alexnet2012"
    longer = dataclasses.replace(presets.CIFAR10, num_epochs=60.0, seed=3)
    assert run_summary.preset(longer) == "cifar10, num-epochs 60, seed 3"
    model = dataclasses.replace(presets.CIFAR10.model, activation="tanh")
    many = dataclasses.replace(longer, model=model, batch_size=64)
    assert run_summary.preset(many) == (
        "cifar10, batch-size 64, model.activation tanh, num-epochs 60, and 1 more"
    )


def test_where_it_runs_is_no_change():
    run = dataclasses.replace(presets.DIGITS.run, num_workers=3)
    data = dataclasses.replace(presets.DIGITS.data, data_dir="elsewhere")
    assert run_summary.preset(
        dataclasses.replace(presets.DIGITS, run=run, data=data)
    ) == ("digits")
