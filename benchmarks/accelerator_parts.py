"""One measurement of `accelerator.py`, in a process of its own.

python -m benchmarks.accelerator_parts steps bfloat16 128 --out FOLDER --json FILE

So a measurement that runs out of memory or crashes ends nothing but itself, and the
peak of the device's memory is its own. Heavy imports wait until they are needed.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config, MeshConfig
from alexnet_jax.errors import UserError

ONE_DEVICE = MeshConfig(data=1, column=1, cpu_devices=1)

# Kernels of a CUDA graph run without the name of their instruction.
_NO_GRAPHS = "--xla_gpu_enable_command_buffer="


class Skipped(Exception):
    """Something is missing that the measurement needs; the message says what."""


class Effort(NamedTuple):
    """How much to measure."""

    rounds: int
    seconds: float
    """Of a round."""
    traced: int
    """Steps."""
    matrix: int
    """Side, for the peak of products."""
    copied: int
    """Bytes, for the rate of copies."""
    calls: int
    """Of a layer, which are waited for together."""
    pipeline: float
    """Seconds of each measurement of the pipeline."""


FULL = Effort(9, 0.5, traced=10, matrix=16384, copied=2**32, calls=20, pipeline=8)
SMOKE = Effort(2, 0, traced=2, matrix=256, copied=2**20, calls=1, pipeline=0.2)


class Job(NamedTuple):
    """What to measure."""

    config: Config
    effort: Effort
    smoke: bool
    out: Path
    source: Path | None
    data_dir: Path | None


def steps(job: Job) -> dict[str, Any]:
    """Images per second, compile time and memory of training and evaluation."""
    import jax
    import step_time

    effort = job.effort
    result = step_time.measure(job.config, ONE_DEVICE, effort.rounds, effort.seconds)
    memory = jax.devices()[0].memory_stats() or {}
    return result | {"device_peak_bytes": memory.get("peak_bytes_in_use")}


def torch(job: Job) -> dict[str, Any]:
    """The same network in PyTorch, in turns with ours: images per second, ratios."""
    if importlib.util.find_spec("torch") is None:
        raise Skipped("torch is not installed")
    import compare_torch
    import jax
    import timing
    import torch_net

    try:
        device = torch_net.device_like(jax.default_backend())
    except UserError as error:
        raise Skipped(str(error)) from error
    config = compare_torch.without_spatial_norm(job.config)
    with contextlib.ExitStack() as stack:
        builders = compare_torch.builders(config, ONE_DEVICE, stack, device)
        contenders, failed = compare_torch.working(builders)
        first = next(iter(contenders.values()))["train"]
        count = timing.steps_lasting(first, job.effort.seconds)
        times = compare_torch.measure(contenders, job.effort.rounds, count)
    rates = {
        name: {kind: timing.rate(t, config.batch_size) for kind, t in kinds.items()}
        for name, kinds in times.items()
    }
    return {
        "torch_device": device,
        "steps_per_turn": count,
        "images_per_second": rates,
        "ours_over_best_torch": compare_torch.ratios(rates),
        "failed": failed,
    }


def roofline(job: Job) -> dict[str, Any]:
    """The floor of each layer's products, their time alone, and the achieved share."""
    import roofline as floors

    peak = floors.peak_rate(job.config.model.precision, job.effort.matrix)
    copied = floors.copy_rate(job.effort.copied)
    rows = []
    for layer in floors.layers_of(job.config):
        floor = floors.floor_of(layer, peak, copied)
        seconds = floors.layer_seconds(layer, job.config, job.effort.calls)
        rows.append(
            {
                "layer": layer.name,
                "multiply_adds": layer.multiply_adds,
                "bytes": layer.bytes,
                "floor_seconds": floor.seconds,
                "limited_by": floor.limited_by,
                "seconds_alone": seconds,
                "share": floor.seconds / seconds,
            }
        )
    return {
        "peak_multiply_adds_per_second": peak,
        "copy_bytes_per_second": copied,
        "floor_seconds": sum(row["floor_seconds"] for row in rows),
        "layers": rows,
    }


def profile(job: Job) -> dict[str, Any]:
    """The time of a training step by kernel, category and layer."""
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} {_NO_GRAPHS}".strip()
    import kernel_profile
    import steps as our_steps

    with contextlib.ExitStack() as stack:
        grid, inputs = our_steps.placed(job.config, ONE_DEVICE, stack)
        train = our_steps.train_program(job.config, grid, inputs.state)
        program = train.lower(*inputs).compile()
        evaluation = our_steps.eval_program(job.config, grid)
        run = our_steps.runners(grid, inputs, program, evaluation)["train"]
        run(3)  # warms up
        events = kernel_profile.trace(run, job.effort.traced)
    return kernel_profile.summary(
        events, program.as_text(), steps=job.effort.traced, top=30
    )


def pipeline(job: Job) -> dict[str, Any]:
    """Images per second of the input pipeline, alone and while the device trains."""
    data = dataclasses.replace(job.config.data, data_dir=str(dataset_folder(job)))
    import busy_pipeline

    config = dataclasses.replace(job.config, data=data)
    forms = ("memory",) if job.smoke else ("records", "raw")
    return {
        "forms": busy_pipeline.measure(config, ONE_DEVICE, forms, job.effort.pipeline)
    }


def dataset_folder(job: Job) -> Path:
    """The tfds data directory; where only the archives exist they are prepared first.

    Raises:
        Skipped: neither exists.
    """
    if job.data_dir is not None or job.smoke:
        return job.data_dir or job.out / "data"
    if job.source is None or not job.source.is_dir():
        raise Skipped(
            f"no images: {job.source} does not exist (--source), and --data-dir names "
            "no prepared dataset"
        )
    from alexnet_jax import prepare

    folder = job.out / "data"
    prepare.run(prepare.Options(source=str(job.source), data_dir=str(folder), raw=True))
    return folder


PARTS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "steps": steps,
    "torch": torch,
    "roofline": roofline,
    "profile": profile,
    "pipeline": pipeline,
}


def row_of(name: str, job: Job) -> dict[str, Any]:
    """The result of a part, or the reason why it has none."""
    from conditions import accelerator

    from alexnet_jax.system import devices

    devices.request_cpu_devices(ONE_DEVICE)
    try:
        return PARTS[name](job) | {"device": accelerator()}
    except Skipped as why:
        return {"skipped": str(why)}
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"[:600]}


def job_of(arguments: argparse.Namespace) -> Job:
    from step_time import configured

    smoke, precision = arguments.smoke, arguments.precision
    config = configured("alexnet2012", arguments.batch_size, precision)
    if smoke and arguments.part == "torch":
        config = narrow(config)
    elif smoke:
        config = configured("digits", arguments.batch_size, precision)
    return Job(
        config=config,
        effort=SMOKE if smoke else FULL,
        smoke=smoke,
        out=arguments.out,
        source=arguments.source,
        data_dir=arguments.data_dir,
    )


def narrow(config: Config) -> Config:
    """The network with a sixteenth of its maps and units."""
    fewer = {
        name: dataclasses.replace(layer, features=layer.features // 16)
        for name in (*CONV_LAYERS, *DENSE_LAYERS)
        for layer in [getattr(config.model, name)]
    }
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **fewer))


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `accelerator` passes on."""
    parser.add_argument("--out", type=Path, required=True, help="folder of results")
    parser.add_argument(
        "--source",
        type=Path,
        help="folder with official tars, prepared into the folder of results",
    )
    parser.add_argument("--data-dir", type=Path, help="of imagenet2012_256, prepared")
    parser.add_argument("--smoke", action="store_true", help="tiny, to try the script")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("precision")
    parser.add_argument("batch_size", type=int)
    add_options(parser)
    parser.add_argument("--json", type=Path, required=True, help="file of the result")
    arguments = parser.parse_args()
    row = row_of(arguments.part, job_of(arguments))
    arguments.json.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
