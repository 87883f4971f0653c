"""The lines at the start of a run: preset, data, network, devices, steps, place."""

import sys

import jax

from alexnet_jax import config_json
from alexnet_jax.config import Config
from alexnet_jax.presets import PRESETS
from alexnet_jax.system.streams import print_line, printable
from alexnet_jax.train_step import TrainState
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
    flat = _without_place(config)
    changes = {
        name: config_json.differing(_without_place(known), flat)
        for name, known in PRESETS.items()
    }
    name = min(changes, key=lambda preset: len(changes[preset]))
    texts = [
        f"{field.replace('_', '-')} {value:g}"
        if isinstance(value, float)
        else f"{field.replace('_', '-')} {value}"
        for field, (_, value) in changes[name].items()
    ]
    if len(texts) > _SHOWN:
        texts[_SHOWN:] = [f"and {len(texts) - _SHOWN} more"]
    return ", ".join([name, *texts])


def _without_place(config: Config) -> dict[str, object]:
    """The fields by dotted name, without how and where it runs."""
    fields = config_json.flatten(config_json.to_json(config))
    fields.pop("data.data_dir")
    return {name: v for name, v in fields.items() if not name.startswith("run.")}


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
