"""Collectives and bytes of a training step, and the minimum that a layout needs.

python -m benchmarks.communication --mesh 1x2 2x1 2x2 4x2 [--json FILE]

Read from the compiled program of `alexnet2012` on virtual devices; nothing is run. The
minimum that a device must send per step: maps and their gradients where layers see both
columns; along the batch, one sum of every gradient, 2 (n - 1) / n of its size (ring).
"""

import argparse
import dataclasses
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np
import program_text
import steps
from conditions import conditions

from alexnet_jax import columns
from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.inference import activations
from alexnet_jax.presets import ALEXNET2012
from alexnet_jax.weights import parameter_shapes


def least_bytes(config: Config, data: int, column: int, *, train: bool = True) -> int:
    """Bytes that a device must send per step, on a grid of data x column.

    Maps, and in training their gradients, in the precision of the network; the
    gradients of parameters in float32.
    """
    width = 2 if config.model.precision == "bfloat16" else 4
    of_other_column = inputs_from_both_columns(config) // 2 if column == 2 else 0
    maps = width * of_other_column * (config.batch_size // data)
    if not train:
        return maps
    of_device = sum(
        math.prod(shape)
        for layer in parameter_shapes.shapes(config).values()
        for shape in layer.values()
    )
    return 2 * maps + 2 * 4 * (of_device // column) * (data - 1) // data


def inputs_from_both_columns(config: Config) -> int:
    """Inputs per image of the layers that see both columns."""
    total, before = 0, 0
    for stage, shape in activations.shapes(config).items():
        layer, name = stage.split(".")
        if name == "linear" and getattr(config.model, layer).sees == "both":
            total += before
        before = math.prod(shape)
    return total


def row(data: int, column: int, batch_size: int) -> dict[str, Any]:
    """Bytes sent on a mesh, their minimum, and the work of each device."""
    count = data * column
    mesh = columns.make_mesh(
        MeshConfig(data=data, column=column), 2, jax.devices()[:count]
    )
    config = dataclasses.replace(ALEXNET2012, batch_size=batch_size)
    program = steps.lowered_train(config, mesh).compile()
    operations = program_text.collectives(program.as_text())
    sent = sum(operation.sent for operation in operations)
    least = least_bytes(config, data, column)
    cost = program.cost_analysis()
    return {
        "mesh": f"{data}x{column}",
        "batch_size": batch_size,
        "sent": sent,
        "least": least,
        "ratio": sent / least if least else None,
        "collectives": dict(
            Counter(
                f"{operation.kind} of {operation.group}" for operation in operations
            )
        ),
        "operations": cost["flops"],
        "bytes_touched": cost["bytes accessed"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mesh", nargs="+", default=["1x2", "2x1", "2x2", "4x2"])
    parser.add_argument(
        "--batch-size", type=int, default=128, help="per device along the batch"
    )
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    shapes = [tuple(map(int, mesh.split("x"))) for mesh in arguments.mesh]
    jax.config.update("jax_num_cpu_devices", int(max(np.prod(s) for s in shapes)))
    rows = []
    print("per device and step:")
    print("mesh    bytes sent     minimum   ratio   operations   touched   collectives")
    for data, column in shapes:
        result = row(data, column, arguments.batch_size * data)
        rows.append(result)
        print(
            f"{result['mesh']:7} {result['sent']:10,} {result['least']:11,} "
            f"{result['ratio']:.5f} {result['operations'] / 1e9:9.2f} G "
            f"{result['bytes_touched'] / 1e9:8.3f} GB   {result['collectives']}",
            flush=True,
        )
    if arguments.json:
        facts = conditions("communication.py") | {"rows": rows}
        arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
