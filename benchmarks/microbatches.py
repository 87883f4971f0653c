"""Time and temporary memory of a training step in parts, against the whole batch's.

python -m benchmarks.microbatches [--preset NAME] [--microbatches 4] [--json FILE]

The steps take turns, on synthetic images that are already on the devices. The time is
the median over rounds; the memory is what XLA reserves beside arguments and results, on
one device.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import steps
from conditions import conditions

from alexnet_jax import columns
from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.presets import PRESETS
from alexnet_jax.system import devices


class Step(NamedTuple):
    """A compiled step."""

    run: Callable[[], None]
    compile_seconds: float
    temporary_bytes: int


def compiled(config: Config, mesh: Any) -> Step:
    """The training step of a configuration; call within a mesh."""
    state, *rest = steps.make_inputs(config, mesh)
    program = steps.train_program(config, mesh, state).lower(state, *rest)
    began = time.perf_counter()
    step = program.compile()
    seconds = time.perf_counter() - began

    def run() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(step(state, *rest))

    return Step(run, seconds, step.memory_analysis().temp_size_in_bytes)


def medians(all_steps: list[Step], rounds: int) -> list[float]:
    """Seconds of each step; the first round is not counted."""
    times: list[list[float]] = [[] for _ in all_steps]
    for number in range(rounds + 1):
        for step, own in zip(all_steps, times, strict=True):
            began = time.perf_counter()
            step.run()
            if number:
                own.append(time.perf_counter() - began)
    return [statistics.median(own) for own in times]


def measure(base: Config, parts: list[int], rounds: int) -> list[dict[str, float]]:
    mesh = columns.make_mesh(MeshConfig(), base.model.num_columns, jax.devices())
    with jax.set_mesh(mesh):
        all_steps = [
            compiled(dataclasses.replace(base, microbatches=count), mesh)
            for count in parts
        ]
        seconds = medians(all_steps, rounds)
    return [
        {
            "microbatches": count,
            "seconds": each,
            "temporary_bytes": step.temporary_bytes,
            "compile_seconds": step.compile_seconds,
            "time_ratio": each / seconds[0],
            "memory_ratio": step.temporary_bytes / all_steps[0].temporary_bytes,
        }
        for count, step, each in zip(parts, all_steps, seconds, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="alexnet2012", choices=sorted(PRESETS))
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--microbatches", type=int, nargs="+", default=[4])
    parser.add_argument("--cpu-devices", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    devices.request_cpu_devices(MeshConfig(cpu_devices=arguments.cpu_devices))
    base = dataclasses.replace(
        PRESETS[arguments.preset], batch_size=arguments.batch_size
    )
    rows = measure(base, [1, *arguments.microbatches], arguments.rounds)
    print("microbatches   ms per step   ratio   temporary MB   ratio   compiled in, s")
    for row in rows:
        print(
            f"{row['microbatches']:12} {row['seconds'] * 1e3:11.1f} "
            f"{row['time_ratio']:7.2f} {row['temporary_bytes'] / 1e6:14.1f} "
            f"{row['memory_ratio']:7.2f} {row['compile_seconds']:16.1f}"
        )
    if arguments.json:
        facts = conditions("microbatches.py") | {"rounds": arguments.rounds}
        facts["devices"] = [device.device_kind for device in jax.devices()]
        arguments.json.write_text(json.dumps(facts | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
