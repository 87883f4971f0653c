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
import json
import math
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import steps
import timing
from conditions import conditions
from step_time import PRECISIONS, configured

from alexnet_jax import columns, model
from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config, MeshConfig
from alexnet_jax.presets import PRESETS
from alexnet_jax.system import devices


class Layer(NamedTuple):
    """The work of a training step in one layer."""

    name: str
    multiply_adds: int
    bytes: int
    input: tuple[int, ...]
    """Shape of the maps that the layer gets."""
    kernel: tuple[int, ...]


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
    rows, seen, stages = [], image.shape, variables["intermediates"]
    for name in CONV_LAYERS + DENSE_LAYERS:
        if name in variables["params"]:
            kernel = variables["params"][name]["kernel"].shape
            maps = stages[f"{name}_linear"][0].shape
            weights = math.prod(kernel)
            passes = 2 if name == "conv1" else 3
            work = passes * weights * math.prod(maps[1:-1]) * batch
            touched = passes * width * batch * (math.prod(seen) + math.prod(maps))
            moved = touched + 4 * 5 * weights
            rows.append(Layer(name, work, moved, (batch, *seen[1:]), kernel))
        # The pooling of a layer that is left out stays.
        for stage in (f"{name}_linear", f"{name}_pool"):
            seen = stages[stage][0].shape if stage in stages else seen
    return rows


def median_seconds(run: Callable[[], Any], rounds: int = 7, calls: int = 1) -> float:
    """Seconds of a call; `calls` of them are waited for together."""

    def waited_for(count: int) -> None:
        for _ in range(count):
            result = run()
        jax.block_until_ready(result)

    waited_for(1)
    return statistics.median(timing.of_rounds(waited_for, rounds, calls))


def dtype_of(precision: str) -> Any:
    return jnp.bfloat16 if precision == "bfloat16" else jnp.float32


def products_in(precision: str) -> Any:
    """Sets the precision of float32 products; by default XLA lowers it on GPUs."""
    return jax.default_matmul_precision(
        "tensorfloat32" if precision == "tf32" else "float32"
    )


def peak_rate(precision: str, size: int) -> float:
    """Multiply-adds per second of a square matrix product of noise.

    A product of constants would switch fewer transistors, and a GPU at its limit of
    power would run it faster.
    """
    a = jax.random.normal(jax.random.key(0), (size, size), dtype_of(precision))
    product = jax.jit(lambda a: a @ a)
    with products_in(precision):
        return size**3 / median_seconds(lambda: product(a))


def copy_rate(size: int) -> float:
    """Bytes per second of a copy, read and written."""
    a = jnp.ones(size // 4, jnp.float32)
    copy = jax.jit(lambda a: a + 1)
    return 2 * size / median_seconds(lambda: copy(a))


def layer_seconds(layer: Layer, config: Config, calls: int) -> float:
    """Seconds of the products of one layer alone: forward, and the gradients."""
    precision = config.model.precision
    kernel, maps = (
        jax.random.normal(jax.random.key(0), shape, dtype_of(precision))
        for shape in (layer.kernel, layer.input)
    )

    def step(kernel: jax.Array, maps: jax.Array) -> Any:
        if layer.name == "conv1":
            forward, changing = partial(linear, layer.name, config, maps), (kernel,)
        else:
            forward = partial(linear, layer.name, config)
            changing = (maps, kernel)
        outputs, pull = jax.vjp(forward, *changing)
        return outputs, pull(outputs)

    compiled = jax.jit(step, compiler_options=devices.compiler_options())
    with products_in(precision):
        return median_seconds(lambda: compiled(kernel, maps), calls=calls)


def linear(name: str, config: Config, maps: jax.Array, kernel: jax.Array) -> jax.Array:
    """The products of a layer with its kernel, by column as in the network."""
    layer = getattr(config.model, name)
    bias = jnp.zeros(kernel.shape[-1], kernel.dtype)
    columns_of_layer = {"sees": layer.sees, "num_columns": config.model.num_columns}
    if name in DENSE_LAYERS:
        return columns.matrix_product(maps, kernel, bias, **columns_of_layer)
    return columns.convolution(
        maps,
        kernel,
        bias,
        stride=layer.stride,
        padding=layer.padding,
        **columns_of_layer,
    )


class Floor(NamedTuple):
    """The least time of a layer, and what sets it."""

    seconds: float
    limited_by: str


def floor_of(layer: Layer, peak: float, copied: float) -> Floor:
    compute, memory = layer.multiply_adds / peak, layer.bytes / copied
    return Floor(max(compute, memory), "products" if compute > memory else "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="alexnet2012", choices=sorted(PRESETS))
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--matrix", type=int, default=2048, help="side, for the peak")
    parser.add_argument("--copy", type=int, default=2**28, help="bytes, for the rate")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    config = configured(arguments.preset, arguments.batch_size, arguments.precision)
    peak = peak_rate(arguments.precision, arguments.matrix)
    copied = copy_rate(arguments.copy)
    print(f"peak {peak / 1e9:.1f} G multiply-adds/s, copy {copied / 1e9:.1f} GB/s")
    print("layer    G multiply-adds   MB moved   floor, ms   limited by")
    floors = []
    for layer in layers_of(config):
        floor = floor_of(layer, peak, copied)
        floors.append(floor.seconds)
        print(
            f"{layer.name:8} {layer.multiply_adds / 1e9:15.2f} "
            f"{layer.bytes / 1e6:10.1f} {1e3 * floor.seconds:11.2f}   "
            f"{floor.limited_by}"
        )
    with contextlib.ExitStack() as stack:
        mesh = MeshConfig(data=1, column=1)
        train = steps.compiled(config, mesh, stack)["train"]
        measured = median_seconds(lambda: train(1), rounds=5)
    share = sum(floors) / measured
    least = 1e3 * sum(floors)
    print(f"floor {least:.1f} ms, measured {1e3 * measured:.1f} ms: {share:.0%}")
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
