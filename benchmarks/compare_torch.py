"""The AlexNet of 2012 compared with the same network in PyTorch, in turns in one run.

python -m benchmarks.compare_torch --batch-size 128 --devices 2 [--json FILE]

`alexnet2012` without its spatial normalisation (see torch_net.py), with the same batch
size and precision, on the same kind of device: all cores, or the GPU. Ours starts from
uint8 images of 256 pixels and crops, mirrors and shifts colours in the step; PyTorch
gets float32 crops. The result is the median over rounds. PyTorch runs in the same
process, so `devices.keep_freed_memory` helps it too.
"""

import argparse
import contextlib
import dataclasses
import json
import statistics
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import steps
import timing
import torch_net
from conditions import conditions
from step_time import PRECISIONS, configured
from steps import Steps

from alexnet_jax.config import Config, MeshConfig, Norm
from alexnet_jax.system import devices


def without_spatial_norm(config: Config) -> Config:
    """The network without the normalisation that PyTorch lacks."""
    plain = dataclasses.replace(config.model.conv2, spatial_norm=Norm())
    model = dataclasses.replace(config.model, conv2=plain)
    return dataclasses.replace(config, model=model)


def builders(
    config: Config,
    mesh: MeshConfig,
    stack: contextlib.ExitStack,
    device: str,
    *,
    tuned: bool = True,
) -> dict[str, Callable[[], dict[str, Steps]]]:
    """What builds each contender. torch.compile is for GPUs only: on CPU it needs a
    compiler, and minutes.

    Args:
        stack, tuned: as for `steps.compiled`.
        device: PyTorch's name of it.
    """
    theirs = partial(torch_net.steps, config, device=device)
    found = {
        "ours": partial(steps.compiled, config, mesh, stack, tuned=tuned),
        "PyTorch": partial(theirs, channels_last=False),
        "PyTorch, channels_last": partial(theirs, channels_last=True),
    }
    if device == "cuda":
        found["PyTorch, channels_last, compiled"] = partial(
            theirs, channels_last=True, compiled=True
        )
    return found


def working(
    found: dict[str, Callable[[], dict[str, Steps]]],
) -> tuple[dict[str, dict[str, Steps]], dict[str, str]]:
    """The contenders that can make a step of each kind, and why the others cannot.

    Raises:
        RuntimeError: none can.
    """
    contenders, failed = {}, {}
    for name, build in found.items():
        try:
            kinds = build()
            for run in kinds.values():
                run(1)  # compiles
            contenders[name] = kinds
        except Exception as error:
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}"[:600]
    if not contenders:
        raise RuntimeError(f"no contender works: {failed}")
    return contenders, failed


def measure(
    contenders: dict[str, dict[str, Steps]], rounds: int, steps: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds per step of each kind in each round, measured in turns."""
    times: dict[str, dict[str, list[float]]] = {
        name: {kind: [] for kind in kinds} for name, kinds in contenders.items()
    }
    for kinds in contenders.values():
        for run in kinds.values():
            run(2)  # compiles, warms up
    for _ in range(rounds):
        for name, kinds in contenders.items():
            for kind, run in kinds.items():
                times[name][kind].append(timing.of_turn(run, steps))
    return times


def medians(
    times: dict[str, dict[str, list[float]]],
) -> dict[str, dict[str, float]]:
    return {
        name: {kind: statistics.median(values) for kind, values in kinds.items()}
        for name, kinds in times.items()
    }


def ratios(rates: dict[str, dict[str, dict[str, float]]]) -> dict[str, float]:
    """Our images per second over those of the fastest PyTorch, by kind of step."""
    others = [kinds for name, kinds in rates.items() if name != "ours"]
    if "ours" not in rates or not others:
        return {}
    return {
        kind: ours["median"] / max(kinds[kind]["median"] for kinds in others)
        for kind, ours in rates["ours"].items()
    }


def show(seconds: dict[str, dict[str, float]], batch_size: int) -> None:
    for kind in ("train", "eval"):
        best = min(times[kind] for name, times in seconds.items() if name != "ours")
        for name, times in seconds.items():
            rate = batch_size / times[kind]
            print(f"{kind:6} {name:24} {rate:8.1f} images/s")
        ratio = best / seconds["ours"][kind]
        print(f"{kind:6} ours / the better PyTorch: {ratio:.2f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--devices", type=int, default=2, help="virtual, on CPU")
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="per turn")
    parser.add_argument(
        "--untuned",
        action="store_true",
        help="default settings of malloc and XLA, to see the effect of `devices`",
    )
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", arguments.devices)
    if not arguments.untuned:
        devices.keep_freed_memory()
    config = configured("alexnet2012", arguments.batch_size, arguments.precision)
    config = without_spatial_norm(config)
    device = torch_net.device_like(jax.default_backend())
    with contextlib.ExitStack() as stack:
        found = builders(
            config, MeshConfig(), stack, device, tuned=not arguments.untuned
        )
        contenders = {name: build() for name, build in found.items()}
        times = measure(contenders, arguments.rounds, arguments.steps)
    seconds = medians(times)
    show(seconds, arguments.batch_size)
    if arguments.json:
        facts = conditions("compare_torch.py") | {"rounds": arguments.rounds}
        arguments.json.write_text(json.dumps(facts | {"seconds": seconds}, indent=1))


if __name__ == "__main__":
    main()
