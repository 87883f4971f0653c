"""What durability costs: the time of a checkpoint, with and without fsync.

python -m benchmarks.checkpoint_time --preset alexnet2012 [--json FILE]

Checkpoints are saved in turn as the package does ("durable"), without waiting for the
disk ("no_sync"), and without a seal at all ("no_seal": Orbax alone). `total` is from
the call until the checkpoint is complete, `blocked` the part that the training loop
waits for. The share is `blocked` over the time of an epoch, by steps measured in the
same process.
"""

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import jax
import steps
from conditions import conditions

from alexnet_jax import columns, train_step
from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.presets import PRESETS
from alexnet_jax.system import atomic_files, devices
from alexnet_jax.training import checkpoint, checkpoint_files

KINDS = {
    "durable": [],
    "no_sync": [(atomic_files, "sync")],
    "no_seal": [(checkpoint_files, "write_seal")],
}


def measure(config: Config, rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds of each kind, one checkpoint of each in turn per round."""
    mesh = columns.make_mesh(config.run.mesh, config.model.num_columns, jax.devices())
    with jax.set_mesh(mesh):
        state = train_step.create_train_state(config, mesh, jax.random.key(0))
    times = {kind: {"total": [], "blocked": []} for kind in KINDS}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        saved = checkpoint.Checkpoints(Path(folder) / "checkpoints", keep=1)
        with saved:
            for step in range(1, rounds * len(KINDS) + 1):
                kind = list(KINDS)[step % len(KINDS)]
                with contextlib.ExitStack() as stack:
                    for module, name in KINDS[kind]:
                        stack.enter_context(mock.patch.object(module, name))
                    began = time.perf_counter()
                    saved.save(state, step, {}, {"top1_error": 0.5})
                    times[kind]["blocked"].append(time.perf_counter() - began)
                    saved.wait()
                    times[kind]["total"].append(time.perf_counter() - began)
    return {
        kind: {name: statistics.median(values) for name, values in both.items()}
        for kind, both in times.items()
    }


def step_seconds(config: Config) -> float:
    with contextlib.ExitStack() as stack:
        run = steps.compiled(config, config.run.mesh, stack)["train"]
        run(1)
        began = time.perf_counter()
        run(2)
        return (time.perf_counter() - began) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="alexnet2012", choices=sorted(PRESETS))
    parser.add_argument("--num-examples", type=int, default=1_281_167)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    devices.request_cpu_devices(MeshConfig())
    config = PRESETS[arguments.preset]
    times = measure(config, arguments.rounds)
    epoch = step_seconds(config) * arguments.num_examples / config.batch_size
    result = {
        "seconds": times,
        "durable_over_no_sync": times["durable"]["total"] / times["no_sync"]["total"],
        "durable_over_no_seal": times["durable"]["total"] / times["no_seal"]["total"],
        "epoch_seconds": epoch,
        "share_of_epoch": times["durable"]["blocked"] / epoch,
        "rounds": arguments.rounds,
    }
    print(json.dumps(result, indent=2))
    if arguments.json:
        record = conditions("checkpoint_time.py") | result
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
