"""A training step of cuda-convnet's CIFAR-10 nets, compared with PyTorch.

python -m benchmarks.cifar_torch --net 80sec [--json FILE]

Both train on batches of 128 images of CIFAR-10's size from memory, float32, on all
cores, in turns in one process. The result is the median over rounds of several steps.
An epoch is 391 steps.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import timing
from conditions import conditions

from alexnet_jax.system import devices
from experiments.cuda_convnet import nets
from experiments.cuda_convnet.images import Images
from experiments.cuda_convnet.model import CifarNet
from experiments.cuda_convnet.step import Rates, create_state, train_step

BATCH = 128


def images() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (10 * BATCH, 32, 32, 3), dtype=np.uint8)
    return image, generator.integers(0, 10, 10 * BATCH).astype(np.int32)


def jax_steps(name: nets.NetName) -> Callable[[int], None]:
    """The step of `cuda_convnet.train`, dispatched one by one as it is on CPU."""
    definition = nets.NETS[name]
    net = CifarNet(layers=definition.layers)
    state = create_state(net, definition.recipe, jax.random.key(0))
    image, label = images()
    data = Images(jnp.asarray(image), jnp.asarray(label))
    step = jax.jit(
        partial(
            train_step,
            net=net,
            recipe=definition.recipe,
            weight_costs=nets.weight_costs(definition.layers),
        ),
        donate_argnums=0,
        compiler_options=devices.compiler_options(),
    )
    rates = Rates(jnp.float32(1e-3), jnp.float32(2e-3))
    mean = jnp.full((32, 32, 3), 120.0)
    indices = np.arange(BATCH, dtype=np.int32)

    def run(steps: int) -> None:
        nonlocal state
        for number in range(steps):
            batch = indices + number % 10 * BATCH
            state = step(state, data, batch, mean, rates, jax.random.key(1))
        jax.block_until_ready(state)

    return run


def torch_steps(name: nets.NetName, channels_last: bool) -> Callable[[int], None]:
    """Ordinary PyTorch: modules, cross entropy, SGD with momentum and weight decay."""
    import torch

    net = _torch_net(nets.NETS[name].layers)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net = net.to(memory_format=layout)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=1e-3, momentum=0.9, weight_decay=4e-3
    )
    image, label = images()
    data = torch.from_numpy(image.transpose(0, 3, 1, 2).copy())
    labels = torch.from_numpy(label).long()

    def run(steps: int) -> None:
        for number in range(steps):
            rows = slice(number % 10 * BATCH, (number % 10 + 1) * BATCH)
            batch = (data[rows].float() - 120.0).contiguous(memory_format=layout)
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(net(batch), labels[rows])
            loss.backward()
            optimizer.step()

    return run


def _torch_net(layers: tuple[nets.Layer, ...]) -> "object":
    """The same layers; PyTorch has none with unshared kernels."""
    from torch import nn

    modules, channels, size = [], 3, 32
    for layer in layers:
        match layer:
            case nets.Conv():
                modules.append(nn.Conv2d(channels, layer.features, 5, padding=2))
                channels = layer.features
                modules += [nn.ReLU()] * layer.activate
            case nets.MaxPool():
                modules.append(nn.MaxPool2d(3, 2, ceil_mode=True))
                modules += [nn.ReLU()] * layer.activate
                size //= 2
            case nets.AveragePool():
                modules.append(
                    nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False)
                )
                size //= 2
            case nets.Dense():
                if size:
                    modules.append(nn.Flatten())
                    channels, size = channels * size**2, 0
                modules.append(nn.Linear(channels, layer.features))
                channels = layer.features
                modules += [nn.ReLU()] * layer.activate
            case _:
                raise SystemExit(f"error: PyTorch has no {type(layer).__name__}")
    return nn.Sequential(*modules)


def measure(
    contenders: dict[str, Callable[[int], None]], rounds: int, steps: int
) -> dict[str, float]:
    """Median milliseconds per step, measured in turns."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run(5)  # compiles, warms up
    for _ in range(rounds):
        for name, run in contenders.items():
            times[name].append(timing.of_turn(run, steps) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--net", default="80sec", choices=("80sec", "19pct"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=15, help="per turn")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    devices.keep_freed_memory()
    milliseconds = measure(
        {
            "ours": jax_steps(arguments.net),
            "PyTorch": torch_steps(arguments.net, channels_last=False),
            "PyTorch, channels_last": torch_steps(arguments.net, channels_last=True),
        },
        arguments.rounds,
        arguments.steps,
    )
    best = min(ms for name, ms in milliseconds.items() if name != "ours")
    for name, ms in milliseconds.items():
        print(f"{name:24} {ms:8.1f} ms per step")
    print(f"ours / the better PyTorch: {milliseconds['ours'] / best:.2f}")
    if arguments.json:
        facts = conditions("cifar_torch.py") | {"rounds": arguments.rounds}
        result = facts | {"net": arguments.net, "milliseconds": milliseconds}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
