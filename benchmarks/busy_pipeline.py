"""Images per second of the input pipeline, alone and while the device trains.

python -m benchmarks.busy_pipeline --data-dir DATA_DIR [--devices 2] [--json FILE]

Trains `alexnet2012` on a dataset of `prepare`, and says which share of the time it
waits for images.
"""

import argparse
import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import steps
from conditions import conditions
from input_pipeline import rate

from alexnet_jax import columns
from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.data import loader
from alexnet_jax.data.source import open_source
from alexnet_jax.errors import UserError
from alexnet_jax.presets import PRESETS
from alexnet_jax.system import devices


def measure(
    config: Config, mesh: MeshConfig, forms: tuple[str, ...], seconds: float
) -> dict[str, dict[str, Any]]:
    """For each stored form of the pixels: images/s of the pipeline alone and of
    training on it, and the share of that time spent waiting for images.

    Args:
        config: names the dataset.
        forms: of `DataConfig.stored`.
        seconds: of each measurement.
    """
    with contextlib.ExitStack() as stack:
        grid, inputs = steps.placed(config, mesh, stack)
        train = trainer(config, grid, inputs)
        results = {}
        for form in forms:
            try:
                results[form] = of_form(config, form, grid, train, seconds)
            except UserError as why:  # not every dataset has raw pixels
                results[form] = {"skipped": str(why)}
        return results


def of_form(
    config: Config, form: str, grid: Any, train: Callable, seconds: float
) -> dict[str, float]:
    data = dataclasses.replace(config.data, stored=form)
    batches = loader.train_batches(
        open_source(data, data.train_split),
        seed=0,
        batch_size=config.batch_size,
        start_step=0,
        sharding=columns.batch_sharding(grid),
        num_workers=None,
    )
    with contextlib.closing(batches):
        train(next(batches))  # compiles
        sizes = (len(batch["label"]) for batch in batches)
        rate(sizes, seconds / 4)  # fills caches
        per_core, alone = rate(sizes, seconds)
        training, share = of_training(config.batch_size, batches, train, seconds)
    return {
        "pipeline_images_per_second": alone,
        "pipeline_images_per_second_of_cpu_time": per_core,
        "training_images_per_second": training,
        "data_wait_share": share,
    }


def trainer(config: Config, grid: Any, inputs: steps.Inputs) -> Callable[[Any], None]:
    """A training step on a batch, which returns when the step before has ended.

    So one step is in flight while the next batch is fetched, as in the training loop;
    on CPU none is, as there.
    """
    state, earlier = inputs.state, None
    update = steps.train_program(config, grid, state)
    on_cpu = jax.default_backend() == "cpu"

    def train(batch: Any) -> None:
        nonlocal state, earlier
        state, values = update(state, batch, inputs.key, inputs.images)
        jax.block_until_ready(values if on_cpu else earlier)
        earlier = values

    return train


def of_training(
    batch_size: int, batches: Any, train: Callable[[Any], None], seconds: float
) -> tuple[float, float]:
    """Images per second, and the share of the time spent waiting for batches."""
    waited, done, began = 0.0, 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        train(batch)
        done += batch_size
    return done / taken, waited / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="of `prepare`")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--devices", type=int, default=2, help="virtual, on CPU")
    parser.add_argument("--forms", nargs="+", default=["records"])
    parser.add_argument("--seconds", type=float, default=60, help="per measurement")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    mesh = MeshConfig(data=1, cpu_devices=arguments.devices)
    devices.request_cpu_devices(mesh)
    base = PRESETS["alexnet2012"]
    data = dataclasses.replace(base.data, data_dir=str(arguments.data_dir))
    config = dataclasses.replace(base, data=data, batch_size=arguments.batch_size)
    result = measure(config, mesh, tuple(arguments.forms), arguments.seconds)
    print(json.dumps(result, indent=1))
    if arguments.json:
        facts = conditions("busy_pipeline.py") | {"forms": result}
        arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
