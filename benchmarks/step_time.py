"""Time of a compiled step, and of compiling it.

python -m benchmarks.step_time --preset alexnet2012 --batch-size 128 [--json FILE]

Median over rounds, with synthetic images that are already on the devices. Augmentation
is part of the training step. Batch sizes and precisions are measured one after another.
"""

import argparse
import contextlib
import dataclasses
import json
import statistics
import time
from pathlib import Path

import jax
import steps
from conditions import conditions

from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.presets import PRESETS
from alexnet_jax.system import devices


def configured(preset: str, batch_size: int, precision: str) -> Config:
    base = PRESETS[preset]
    model = dataclasses.replace(base.model, precision=precision)
    return dataclasses.replace(base, batch_size=batch_size, model=model)


def measure(
    config: Config, mesh: MeshConfig, rounds: int, count: int
) -> dict[str, float]:
    """Seconds of the first step (with compilation) and of a step, by kind."""
    seconds = {}
    with contextlib.ExitStack() as stack:
        runners = steps.compiled(config, mesh, stack)
        for kind, run in runners.items():
            began = time.perf_counter()
            run(1)
            first = time.perf_counter() - began
            times = []
            for _ in range(rounds):
                began = time.perf_counter()
                run(count)
                times.append((time.perf_counter() - began) / count)
            seconds[kind] = statistics.median(times)
            seconds[f"{kind}_first"] = first
    jax.clear_caches()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="alexnet2012", choices=sorted(PRESETS))
    parser.add_argument("--batch-size", type=int, nargs="+", default=[128])
    parser.add_argument("--precision", nargs="+", default=["float32"])
    parser.add_argument("--data", type=int, help="devices along the batch")
    parser.add_argument("--column", type=int, help="devices along the columns")
    parser.add_argument("--cpu-devices", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="per round")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    devices.request_cpu_devices(MeshConfig(cpu_devices=arguments.cpu_devices))
    mesh = MeshConfig(data=arguments.data, column=arguments.column)
    rows = []
    print("precision  batch   train images/s   eval images/s   first train step, s")
    for precision in arguments.precision:
        for batch in arguments.batch_size:
            config = configured(arguments.preset, batch, precision)
            seconds = measure(config, mesh, arguments.rounds, arguments.steps)
            rows.append({"precision": precision, "batch_size": batch, **seconds})
            print(
                f"{precision:9} {batch:6} {batch / seconds['train']:16.1f} "
                f"{batch / seconds['eval']:15.1f} {seconds['train_first']:21.1f}",
                flush=True,
            )
    if arguments.json:
        facts = conditions("step_time.py") | {"rounds": arguments.rounds}
        facts["devices"] = [device.device_kind for device in jax.devices()]
        arguments.json.write_text(json.dumps(facts | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
