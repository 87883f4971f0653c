"""Time from the command to the end of the first training step.

python -m benchmarks.startup [--repeats 3] [--json FILE]

Runs the default job in a new directory and stops the clock at its first record: cold,
with an empty folder of compiled programs, and warm, with one that an earlier run has
filled. The dataset is there in both. The clock starts with the process, so imports
count.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from conditions import conditions


def seconds_to_first_step(folder: Path, cache: Path) -> float:
    """Runs the job; returns the seconds until its first line about a step."""
    environment = os.environ | {"TFDS_DATA_DIR": str(folder.parent / "tfds")}
    command = [sys.executable, "-m", "alexnet_jax.main", "--workdir", str(folder)]
    command += ["--run.log-every-steps", "1", "--num-epochs", "0.2"]
    command += ["--run.compilation-cache", str(cache)]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    taken = None
    for line in process.stdout:
        if line.startswith("step ") and taken is None:
            taken = time.perf_counter() - began
    if process.wait() or taken is None:
        raise SystemExit("error: the job failed")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        seconds_to_first_step(root / "prepares", root / "cache")
        for number in range(arguments.repeats):
            for kind, cache in (("cold", f"cache{number}"), ("warm", "cache")):
                seconds = seconds_to_first_step(root / f"{kind}{number}", root / cache)
                times[kind].append(seconds)
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    for kind, seconds in medians.items():
        print(f"{kind:12} {seconds:6.1f} s to the first step")
    print(f"warm / cold: {medians['warm'] / medians['cold']:.2f}")
    if arguments.json:
        facts = conditions("startup.py") | {"repeats": arguments.repeats} | medians
        arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
