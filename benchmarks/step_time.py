"""Time of a compiled step, and of compiling it.

python -m benchmarks.step_time --preset alexnet2012 --batch-size 128 [--json FILE]

Median and quartiles over rounds, with synthetic images that are already on the devices,
and the memory of the programs. Augmentation is part of the training step. Batch sizes
and precisions are measured one after another.
"""

import argparse
import contextlib
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jax
import steps
import timing
from conditions import conditions

from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.presets import PRESETS
from alexnet_jax.system import devices

PRECISIONS = ("float32", "tf32", "bfloat16")


def configured(preset: str, batch_size: int, precision: str) -> Config:
    base = PRESETS[preset]
    model = dataclasses.replace(base.model, precision=precision)
    return dataclasses.replace(base, batch_size=batch_size, model=model)


def measure(
    config: Config, mesh: MeshConfig, rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """By kind of step: images/s, seconds to compile, bytes of memory.

    Args:
        seconds: of a round.
    """
    with contextlib.ExitStack() as stack:
        grid, inputs = steps.placed(config, mesh, stack)
        programs, results = compiled_ahead(config, grid, inputs)
        runners = steps.runners(grid, inputs, programs["train"], programs["eval"])
        for kind, run in runners.items():
            run(1)  # warms up
            count = timing.steps_lasting(run, seconds)
            times = timing.of_rounds(run, rounds, count)
            results[kind]["steps_per_round"] = count
            results[kind]["images_per_second"] = timing.rate(times, config.batch_size)
    jax.clear_caches()
    return results


def compiled_ahead(
    config: Config, grid: Any, inputs: steps.Inputs
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The two programs, and for each the seconds to compile and its memory."""
    state, batch, key, images = inputs
    jobs = {
        "train": (steps.train_program(config, grid, state), tuple(inputs)),
        "eval": (
            steps.eval_program(config, grid),
            (steps.zero_sums(grid), state.params, batch, images.mean_image),
        ),
    }
    programs, facts = {}, {}
    for kind, (program, arguments) in jobs.items():
        began = time.perf_counter()
        programs[kind] = program.lower(*arguments).compile()
        taken = time.perf_counter() - began
        memory = memory_of(programs[kind])
        facts[kind] = {"compile_seconds": taken, "program_bytes": memory}
    return programs, facts


def memory_of(program: Any) -> dict[str, int]:
    """Bytes that XLA has planned for a compiled program; the total counts memory that
    outputs share with arguments once."""
    analysis = program.memory_analysis()
    parts = ("argument", "output", "alias", "temp", "generated_code")
    sizes = {part: int(getattr(analysis, f"{part}_size_in_bytes")) for part in parts}
    return sizes | {"total": sum(sizes.values()) - 2 * sizes["alias"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="alexnet2012", choices=sorted(PRESETS))
    parser.add_argument("--batch-size", type=int, nargs="+", default=[128])
    parser.add_argument(
        "--precision", nargs="+", default=["float32"], choices=PRECISIONS
    )
    parser.add_argument("--data", type=int, help="devices along the batch")
    parser.add_argument("--column", type=int, help="devices along the columns")
    parser.add_argument("--cpu-devices", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3, help="per round")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    devices.request_cpu_devices(MeshConfig(cpu_devices=arguments.cpu_devices))
    mesh = MeshConfig(data=arguments.data, column=arguments.column)
    rows = []
    print("precision  batch   train images/s   eval images/s   compiling, s")
    for precision in arguments.precision:
        for batch in arguments.batch_size:
            config = configured(arguments.preset, batch, precision)
            result = measure(config, mesh, arguments.rounds, arguments.seconds)
            rows.append({"precision": precision, "batch_size": batch, **result})
            train, evaluation = result["train"], result["eval"]
            print(
                f"{precision:9} {batch:6} {train['images_per_second']['median']:16.1f} "
                f"{evaluation['images_per_second']['median']:15.1f} "
                f"{train['compile_seconds']:14.1f}",
                flush=True,
            )
    if arguments.json:
        facts = conditions("step_time.py") | {"rounds": arguments.rounds}
        facts["devices"] = [device.device_kind for device in jax.devices()]
        arguments.json.write_text(json.dumps(facts | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
