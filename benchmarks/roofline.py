"""Minimum time of a step, from operations and bytes, and its measured time.

python -m benchmarks.roofline --preset alexnet2012 --batch-size 128 [--json FILE]

For each layer: multiply-adds of the forward pass and of the gradients with respect to
kernel and input (conv1 has no input gradient), and the bytes that must be read or
written once: inputs, outputs, kernels, their gradients, and the velocity (update).
The floor of a layer is the larger of operations / measured peak of a matrix product and
bytes / measured rate of a copy. It leaves out pooling, normalisation and augmentation.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import steps
from conditions import conditions

from alexnet_jax import model
from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config, MeshConfig
from alexnet_jax.presets import PRESETS


class Layer(NamedTuple):
    """The work of a training step in one layer."""

    name: str
    multiply_adds: int
    bytes: int


def layers_of(config: Config) -> list[Layer]:
    """The work of every layer, from the shapes of kernels and maps."""
    net = model.AlexNet(config.model)
    size, batch = config.augment.crop_size, config.batch_size
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)

    def run(key: Any, image: Any) -> Any:
        return net.init_with_output(
            key, image, train=False, mutable=["params", "intermediates"]
        )

    _, variables = jax.eval_shape(run, jax.random.key(0), image)
    width = 2 if config.model.precision == "bfloat16" else 4
    rows, inputs = [], math.prod(image.shape)
    for name in CONV_LAYERS + DENSE_LAYERS:
        if name not in variables["params"]:
            continue
        kernel = variables["params"][name]["kernel"].shape
        maps = variables["intermediates"][f"{name}_linear"][0].shape
        forward = math.prod(kernel) * math.prod(maps[1:-1]) * batch
        passes = 2 if name == "conv1" else 3
        weights = math.prod(kernel)
        outputs = math.prod(maps)
        moved = passes * width * batch * (inputs + outputs) + 4 * 5 * weights
        rows.append(Layer(name, passes * forward, moved))
        stages = variables["intermediates"]
        last = f"{name}_pool" if f"{name}_pool" in stages else f"{name}_linear"
        inputs = math.prod(stages[last][0].shape)
    return rows


def median_seconds(run: Callable[[], Any], rounds: int = 7) -> float:
    jax.block_until_ready(run())
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def peak_rate(dtype: Any, size: int) -> float:
    """Multiply-adds per second of a square matrix product."""
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a: a @ a)
    return size**3 / median_seconds(lambda: product(a))


def copy_rate(size: int) -> float:
    """Bytes per second of a copy, read and written."""
    a = jnp.ones(size // 4, jnp.float32)
    copy = jax.jit(lambda a: a + 1)
    return 2 * size / median_seconds(lambda: copy(a))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="alexnet2012", choices=sorted(PRESETS))
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--matrix", type=int, default=2048, help="side, for the peak")
    parser.add_argument("--copy", type=int, default=2**28, help="bytes, for the rate")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    base = PRESETS[arguments.preset]
    net = dataclasses.replace(base.model, precision=arguments.precision)
    config = dataclasses.replace(base, batch_size=arguments.batch_size, model=net)
    low = arguments.precision == "bfloat16"
    peak = peak_rate(jnp.bfloat16 if low else jnp.float32, arguments.matrix)
    copied = copy_rate(arguments.copy)
    print(f"peak {peak / 1e9:.1f} G multiply-adds/s, copy {copied / 1e9:.1f} GB/s")
    print("layer    G multiply-adds   MB moved   floor, ms   limited by")
    floors = []
    for layer in layers_of(config):
        compute, memory = layer.multiply_adds / peak, layer.bytes / copied
        floors.append(max(compute, memory))
        print(
            f"{layer.name:8} {layer.multiply_adds / 1e9:15.2f} "
            f"{layer.bytes / 1e6:10.1f} {1e3 * floors[-1]:11.2f}   "
            f"{'products' if compute > memory else 'memory'}"
        )
    with contextlib.ExitStack() as stack:
        mesh = MeshConfig(data=1, column=1)
        train = steps.compiled(config, mesh, stack)["train"]
        measured = median_seconds(lambda: train(1), rounds=5)
    share = sum(floors) / measured
    floor = 1e3 * sum(floors)
    print(f"floor {floor:.1f} ms, measured {1e3 * measured:.1f} ms: {share:.0%}")
    if arguments.json:
        facts = conditions("roofline.py") | {
            "peak_multiply_adds_per_second": peak,
            "copy_bytes_per_second": copied,
            "floor_seconds": sum(floors),
            "measured_seconds": measured,
        }
        arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
