"""The lines at the start of a run: preset, data, network, devices, steps, place."""

import sys

import jax

from alexnet_jax.config import Config
from alexnet_jax.system.streams import print_line, printable
from alexnet_jax.train_step import TrainState
from alexnet_jax.training import record
from alexnet_jax.training.setup import Run

_SHOWN = 3  # changed fields


def show(run: Run, state: TrainState) -> None:
    """Prints the lines; each fits 80 columns unless a name is long."""
    for name, text in lines(run, state).items():
        print_line(f"{name:9}  {printable(text)}", sys.stdout)


def lines(run: Run, state: TrainState) -> dict[str, str]:
    """The text of each line, by its name.

    Args:
        state: on the devices of the run.
    """
    config, step = run.config, int(state.step)
    model, crop = config.model, config.augment.crop_size
    columns = "1 column" if model.num_columns == 1 else f"{model.num_columns} columns"
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    resumes = f", resumes after step {step:,}" if step else ""
    return {
        "preset": preset(config),
        "dataset": _dataset(run),
        "network": (
            f"{count:,} parameters, {columns}, crops of {crop}x{crop}, "
            f"{model.precision}"
        ),
        **_start(run),
        "devices": _devices(run, state),
        "training": (
            f"{config.num_epochs:g} epoch{'s' * (config.num_epochs != 1)} = "
            f"{run.num_steps:,} steps of "
            f"{config.batch_size} images, learning rate "
            f"{config.optimizer.learning_rate:g} ({config.optimizer.schedule})"
        ),
        "output": f"{run.directory}{resumes}",
    }


def preset(config: Config) -> str:
    """The most similar preset, and the fields that differ from it."""
    name, changes = record.nearest_preset(config)
    texts = [
        f"{field.replace('_', '-')} {record.shown(value)}"
        for field, value in changes.items()
    ]
    if len(texts) > _SHOWN:
        texts[_SHOWN:] = [f"and {len(texts) - _SHOWN} more"]
    return ", ".join([name, *texts])


def _start(run: Run) -> dict[str, str]:
    start = run.identity.get("init_from")
    return {"start": record.start_in_words(start)} if start else {}


def _dataset(run: Run) -> str:
    data = run.config.data
    classes = run.train_source.num_classes or run.config.model.num_classes
    return (
        f"{data.name}, {classes:,} classes: {run.train_source.num_examples:,} images "
        f"({data.train_split}), {run.eval_source.num_examples:,} ({data.eval_split})"
    )


def _devices(run: Run, state: TrainState) -> str:
    data, column = run.mesh.shape["data"], run.mesh.shape["column"]
    device = run.mesh.devices.flat[0]
    kind = "CPU" if device.platform == "cpu" else device.device_kind
    shards = [leaf.addressable_shards[0] for leaf in jax.tree.leaves(state.params)]
    held = sum(shard.data.size for shard in shards)
    images = run.config.batch_size // data
    return (
        f"{data} x {column} {kind} (batch x columns), each {held:,} parameters and "
        f"{images} images"
    )
