"""Steps compiled ahead of time for TPUs and an H100 that are not there.

python -m benchmarks.aot --target h100 --mesh 1x1 1x2 --precision bfloat16 [--json FILE]

Nothing is run. What is counted in the compiled programs: operations, memory, bytes that
devices send against the least, and bytes that kernels read and write, by category. That
proves what a step needs, not how long it takes. All numbers are per device and step.
"""

import argparse
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aot_targets
import communication
import jax
import program_text
import steps
from conditions import installed
from step_time import PRECISIONS, configured

from alexnet_jax import columns
from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.presets import PRESETS
from alexnet_jax.system import provenance

Row = dict[str, Any]
KEY = ("target", "preset", "step", "mesh", "precision", "batch_size")
"""The fields that identify a program."""
_PACKAGES = ("jax", "jaxlib", "libtpu", "jax-cuda13-plugin")


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """One row per program, as they are compiled."""
    for shape, precision, batch_size, step in itertools.product(
        options.mesh, options.precision, options.batch_size, options.step
    ):
        data, column = map(int, shape.split("x"))
        config = configured(options.preset, data * batch_size, precision)
        key = (options.target, options.preset, step, shape, precision, batch_size)
        yield dict(zip(KEY, key, strict=True)) | _counted(
            config, options.target, step, data, column
        )


def _counted(config: Config, target: str, step: str, data: int, column: int) -> Row:
    """Compiles a step, and counts."""
    mesh = columns.make_mesh(
        MeshConfig(data=data, column=column),
        config.model.num_columns,
        aot_targets.devices(target, data * column),
    )
    began = time.perf_counter()
    lower = steps.lowered_train if step == "train" else steps.lowered_eval
    program = lower(config, mesh).compile()
    seconds = time.perf_counter() - began
    least = communication.least_bytes(config, data, column, train=step == "train")
    return (
        _memory(program)
        | {"least_bytes": least}
        | _from_text(program.as_text(), config.batch_size // data)
        | {"seconds_to_compile": round(seconds, 1)}
        | _provenance()
    )


def _memory(program: Any) -> Row:
    cost, memory = program.cost_analysis(), program.memory_analysis()
    return {
        "operations": cost["flops"] if cost else None,  # None on GPUs
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "peak_bytes": memory.peak_memory_in_bytes,
    }


def _from_text(text: str, images: int) -> Row:
    """Bytes sent, bytes of kernels.

    Args:
        images: of the part of the batch that a device computes.
    """
    sent = program_text.collectives(text)
    kernels = program_text.kernels(text)
    touched = program_text.bytes_by_category(kernels)
    return {
        "sent_bytes": sum(one.sent for one in sent),
        "collectives": dict(Counter(f"{one.kind} of {one.group}" for one in sent)),
        "kernels": len(kernels),
        "kernel_bytes": touched,
        "kernel_bytes_per_image": sum(touched.values()) / images,
    }


def _provenance() -> Row:
    return {
        "commit": provenance.commit(),
        "versions": installed(_PACKAGES),
        "superseded": False,
    }


def merged(known: list[Row], new: Row) -> list[Row]:
    """The known rows with a new one, which supersedes those of the same program."""
    result = []
    for row in known:
        if all(row[name] == new[name] for name in KEY):
            if row["commit"] == new["commit"]:
                continue
            row = row | {"superseded": True}
        result.append(row)
    return [*result, new]


def printed(row: Row) -> str:
    """A row as lines of text."""
    program = " ".join(str(row[name]) for name in KEY)
    flops = row["operations"]
    operations = f"{flops / 1e9:,.1f} G" if flops else "not reported"
    parts = ", ".join(
        f"{category} {number / 1e9:.2f}"
        for category, number in row["kernel_bytes"].items()
    )
    return (
        f"{program}: compiled in {row['seconds_to_compile']} s\n"
        f"  operations  {operations}\n"
        f"  memory      arguments {row['argument_bytes'] / 1e6:,.0f} MB, temporary "
        f"{row['temporary_bytes'] / 1e6:,.0f}, peak {row['peak_bytes'] / 1e6:,.0f}\n"
        f"  sent        {row['sent_bytes']:,} bytes, least {row['least_bytes']:,}, "
        f"{row['collectives']}\n"
        f"  kernels     {row['kernels']}: "
        f"{row['kernel_bytes_per_image'] / 1e6:.1f} MB per image; in GB: {parts}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", default="h100", help='"h100" or "v5e:2x2"')
    parser.add_argument("--preset", default="alexnet2012", choices=sorted(PRESETS))
    parser.add_argument("--mesh", nargs="+", default=["1x1"], help="data x column")
    parser.add_argument(
        "--precision", nargs="+", default=["bfloat16"], choices=PRECISIONS
    )
    parser.add_argument(
        "--batch-size", type=int, nargs="+", default=[128], help="per row of the mesh"
    )
    parser.add_argument(
        "--step", nargs="+", default=["train"], choices=["train", "eval"]
    )
    parser.add_argument("--json", type=Path, help="also merge the rows into this file")
    options = parser.parse_args()
    if problem := aot_targets.missing_package(options.target):
        parser.error(problem)
    jax.config.update("jax_platforms", "cpu")
    for row in rows(options):
        print(printed(row), flush=True)
        if options.json:
            known = (
                json.loads(options.json.read_text()) if options.json.exists() else []
            )
            options.json.write_text(json.dumps(merged(known, row), indent=1) + "\n")


if __name__ == "__main__":
    main()
