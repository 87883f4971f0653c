"""The AlexNet of 2012 compared with the same network in PyTorch, in turns in one run.

python -m benchmarks.compare_torch --batch-size 128 --devices 2 [--json FILE]

`alexnet2012` without its spatial normalisation, for which PyTorch has no layer: grouped
convolutions, LocalResponseNorm, overlapping pooling, dropout; float32, the same batch
size, all cores. Ours starts from uint8 images of 256 pixels and crops, mirrors and
shifts colours in the step; PyTorch gets float32 crops. The result is the median over
rounds. PyTorch runs in the same process, so `devices.keep_freed_memory` helps it too.
"""

import argparse
import contextlib
import dataclasses
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import steps
from conditions import conditions
from steps import Steps

from alexnet_jax.config import Config, MeshConfig, Norm
from alexnet_jax.presets import ALEXNET2012
from alexnet_jax.system import devices


def configuration(batch_size: int) -> Config:
    """alexnet2012 without the normalisation that PyTorch lacks."""
    net = ALEXNET2012.model
    plain = dataclasses.replace(net.conv2, spatial_norm=Norm())
    return dataclasses.replace(
        ALEXNET2012,
        batch_size=batch_size,
        model=dataclasses.replace(net, conv2=plain),
    )


def torch_net() -> Any:
    """The eight layers as modules of PyTorch."""
    from torch import nn

    norm = partial(nn.LocalResponseNorm, 5, alpha=1e-4, beta=0.75, k=2.0)
    return nn.Sequential(
        nn.ZeroPad2d((0, 3, 0, 3)),
        nn.Conv2d(3, 96, 11, stride=4),
        norm(),
        nn.MaxPool2d(3, 2),
        nn.ReLU(),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(),
        norm(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Linear(9216, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 1000),
    )


def torch_steps(batch_size: int, channels_last: bool) -> dict[str, Steps]:
    """Ordinary PyTorch: cross entropy, SGD with momentum and weight decay."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    net = torch_net().to(memory_format=layout)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4
    )
    images = torch.randn(batch_size, 3, 224, 224).to(memory_format=layout)
    labels = torch.arange(batch_size)

    def training(steps: int) -> None:
        net.train()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()

    def evaluating(steps: int) -> None:
        net.eval()
        with torch.inference_mode():
            for _ in range(steps):
                net(images)

    return {"train": training, "eval": evaluating}


def measure(
    contenders: dict[str, dict[str, Steps]], rounds: int, steps: int
) -> dict[str, dict[str, float]]:
    """Median seconds per step of each kind, measured in turns."""
    times: dict[str, dict[str, list[float]]] = {
        name: {kind: [] for kind in kinds} for name, kinds in contenders.items()
    }
    for kinds in contenders.values():
        for run in kinds.values():
            run(2)  # compiles, warms up
    for _ in range(rounds):
        for name, kinds in contenders.items():
            for kind, run in kinds.items():
                # Memory freed during the turns of the others must be allocated again,
                # which can double the time of the first step.
                run(1)
                began = time.perf_counter()
                run(steps)
                times[name][kind].append((time.perf_counter() - began) / steps)
    return {
        name: {kind: statistics.median(values) for kind, values in kinds.items()}
        for name, kinds in times.items()
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
    with contextlib.ExitStack() as stack:
        contenders = {
            "ours": steps.compiled(
                configuration(arguments.batch_size),
                MeshConfig(),
                stack,
                tuned=not arguments.untuned,
            ),
            "PyTorch": torch_steps(arguments.batch_size, channels_last=False),
            "PyTorch, channels_last": torch_steps(
                arguments.batch_size, channels_last=True
            ),
        }
        seconds = measure(contenders, arguments.rounds, arguments.steps)
    show(seconds, arguments.batch_size)
    if arguments.json:
        facts = conditions("compare_torch.py") | {"rounds": arguments.rounds}
        arguments.json.write_text(json.dumps(facts | {"seconds": seconds}, indent=1))


if __name__ == "__main__":
    main()
