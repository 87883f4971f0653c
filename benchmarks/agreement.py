"""What it costs that two processes ask each other before each training step.

python -m benchmarks.agreement [--preset cifar10] [--json FILE]

Two processes, a column each, on synthetic images that are already on the devices. Steps
with and without the question take turns; the times are medians.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import steps
from conditions import conditions

from alexnet_jax.config import MeshConfig
from alexnet_jax.presets import PRESETS
from alexnet_jax.system import distributed, peers, process_variables


def measure(preset: str, rounds: int) -> dict[str, float]:
    """Seconds per step, and of the question alone; in a process that has met the other.
    Only the first of the two knows the time."""
    here = peers.here()
    with contextlib.ExitStack() as stack:
        train = steps.compiled(PRESETS[preset], MeshConfig(), stack)["train"]

        def asking() -> None:
            here.stop_reason(None)
            train(1)

        forms: dict[str, Callable[[], object]] = {
            "without": lambda: train(1),
            "with": asking,
            "question": lambda: here.stop_reason(None),
        }
        times: dict[str, list[float]] = {name: [] for name in forms}
        train(5)  # compiles, warms up
        for _ in range(rounds):
            for name, form in forms.items():
                began = time.perf_counter()
                form()
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def start_both(arguments: list[str]) -> int:
    """Runs this script in two processes; returns the exit code of the first."""
    address = process_variables.free_address()
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.agreement", *arguments],
            env=os.environ | process_variables.of_process(index, 2, address),
        )
        for index in range(2)
    ]
    return max(process.wait() for process in both)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="cifar10", choices=sorted(PRESETS))
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    if process_variables.INDEX not in os.environ:
        return start_both(sys.argv[1:])
    distributed.start(MeshConfig())
    seconds = measure(arguments.preset, arguments.rounds)
    result = {
        "preset": arguments.preset,
        "processes": 2,
        "rounds": arguments.rounds,
        "seconds": seconds,
        "ratio": seconds["with"] / seconds["without"],
    }
    print(json.dumps(result, indent=1))
    if arguments.json and peers.here().is_first:
        facts = conditions("agreement.py") | result
        arguments.json.write_text(json.dumps(facts, indent=1) + "\n")
    return peers.finish(0)


if __name__ == "__main__":
    sys.exit(main())
