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
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import steps
from conditions import conditions

from alexnet_jax import augment, columns, train_step
from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.presets import ALEXNET2012


class Collective(NamedTuple):
    """One operation between devices."""

    kind: str
    group: int
    """Number of devices that take part."""
    sent: int
    """Bytes that each device sends."""


_COLLECTIVE = re.compile(
    r"= (?P<shape>.*?) (?P<kind>all-gather|all-reduce|reduce-scatter|all-to-all|"
    r"collective-permute)(?:-start)?\(.*?replica_groups=(?P<groups>.*)"
)
_ARRAY = re.compile(r"(?P<dtype>[fsu]\d+|pred|bf16)\[(?P<sizes>[\d,]*)\]")


def collectives(text: str) -> list[Collective]:
    """The collectives of a compiled program (HLO text), with bytes by ring algorithms.

    If the result has n bytes on each of g devices, all-gather sends n (g - 1) / g,
    reduce-scatter n (g - 1) and all-reduce 2 n (g - 1) / g.
    """
    operations = []
    for match in _COLLECTIVE.finditer(text):
        size = sum(_bytes(array) for array in _ARRAY.finditer(match["shape"]))
        group = _group_size(match["groups"])
        sent = {
            "all-gather": size * (group - 1) // group,
            "reduce-scatter": size * (group - 1),
            "all-reduce": 2 * size * (group - 1) // group,
        }
        bytes_sent = sent.get(match["kind"], size)
        operations.append(Collective(match["kind"], group, bytes_sent))
    return operations


def _bytes(array: re.Match[str]) -> int:
    elements = [int(n) for n in array["sizes"].split(",") if n]
    bits = 8 if array["dtype"] == "pred" else int(re.sub(r"\D", "", array["dtype"]))
    return math.prod(elements) * bits // 8


def _group_size(groups: str) -> int:
    """Number of devices per group.

    Args:
        groups: "{{0,1},{2,3}}", "[2,2]<=[4]" (number of groups, size) or "mesh['a'=2,
            'b'=4] {'b'}" (sizes of the axes, and the axes of the group).
    """
    if groups.startswith("mesh["):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", groups.split("]")[0]))
        axes = re.findall(r"'(\w+)'", groups[groups.index("{") :].split("}")[0])
        return math.prod(int(sizes[axis]) for axis in axes)
    if groups.startswith("["):
        return int(groups[1:].split("]")[0].split(",")[1])
    return groups.split("}")[0].count(",") + 1


def compiled_step(config: Config, mesh: Any) -> Any:
    """The compiled train step; the arrays need not exist."""
    everywhere, split = columns.replicated(mesh), columns.batch_sharding(mesh)
    size, batch = config.data.image_size, config.batch_size

    def array(shape: tuple[int, ...], dtype: Any, sharding: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    with jax.set_mesh(mesh):
        state = train_step.abstract_train_state(config, mesh)
        program = steps.train_program(config, mesh, state).lower(
            state,
            {
                "image": array((batch, size, size, 3), jnp.uint8, split),
                "label": array((batch,), jnp.int32, split),
            },
            jax.device_put(jax.random.key(0), everywhere),
            augment.ImageStatistics(
                array((size, size, 3), jnp.float32, everywhere),
                array((3,), jnp.float32, everywhere),
                array((3, 3), jnp.float32, everywhere),
            ),
        )
        return program.compile()


def least_bytes(batch_size: int, data: int, column: int) -> int:
    """Bytes that a device must send per step of alexnet2012, float32."""
    # Maps of the other column that conv3, fc6, fc7 and fc8 see.
    inputs = 13 * 13 * 128 + 6 * 6 * 128 + 2048 + 2048
    exchanged = 2 * 4 * inputs * (batch_size // data) if column == 2 else 0
    parameters = 60_965_224 // column
    return exchanged + 2 * 4 * parameters * (data - 1) // data


def row(data: int, column: int, batch_size: int) -> dict[str, Any]:
    """Bytes sent on a mesh, their minimum, and the work of each device."""
    count = data * column
    mesh = columns.make_mesh(
        MeshConfig(data=data, column=column), 2, jax.devices()[:count]
    )
    config = dataclasses.replace(ALEXNET2012, batch_size=batch_size)
    program = compiled_step(config, mesh)
    operations = collectives(program.as_text())
    sent = sum(operation.sent for operation in operations)
    least = least_bytes(batch_size, data, column)
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
