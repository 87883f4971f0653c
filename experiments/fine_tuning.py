"""The command: python -m experiments.fine_tuning --seed 0 --workdir runs/fine_tuning

Trains the digits twice with the network of the preset cifar10: from its initial values,
and from the network `cifar10` that comes with the package, whose classes are others.
Same images, order and learning rate; the errors of both after each epoch.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet_jax import command
from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.presets import PRESETS
from alexnet_jax.ranges import Positive, Seed
from alexnet_jax.training import record
from experiments import records

START = "cifar10"
CLAIM = f"fine-tuning from {START} to digits"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the command."""

    workdir: Path
    """Folder of the two runs, scratch/ and start/."""
    seed: Seed = 0
    """Of initial values, order and augmentation, in both runs."""
    num_epochs: Positive[int] = 5
    """Passes over the training set of each run."""
    data_dir: str | None = None
    """The tfds data directory. None means tfds's default."""
    record: Path | None = None
    """Writes the record to this file (.json) or folder."""


def run(options: Options) -> str:
    """Trains both, and returns their errors after the first and the last epoch."""
    from alexnet_jax import train
    from alexnet_jax.system import compilation_cache

    if options.record is not None:
        record.check_writable(options.record)
    compilation_cache.use()
    for name, init_from in (("scratch", None), ("start", START)):
        config = config_of(options, init_from)
        train.train_and_evaluate(config, options.workdir / name)
    found = record_of(options)
    if options.record is not None:
        record.write(options.record, found)
    return "\n".join(
        f"{name}: test error {100 * curve[0]['top1_error']:.2f}% after one epoch, "
        f"{100 * curve[-1]['top1_error']:.2f}% after {curve[-1]['epoch']:.0f}"
        for name, curve in found["curves"].items()
    )


def config_of(options: Options, init_from: str | None) -> Config:
    """Digits are neither mirrored nor shifted in colour; the rate is constant, so that
    an epoch does not depend on the length of the run."""
    base, digits = PRESETS[START], PRESETS["digits"]
    return dataclasses.replace(
        base,
        init_from=init_from,
        seed=options.seed,
        num_epochs=float(options.num_epochs),
        data=dataclasses.replace(
            base.data, name=digits.data.name, data_dir=options.data_dir
        ),
        augment=dataclasses.replace(digits.augment, crop_size=base.augment.crop_size),
        optimizer=dataclasses.replace(base.optimizer, schedule="constant"),
    )


def record_of(options: Options) -> dict[str, Any]:
    """The result is of the run with the start, after its first epoch; "scratch" is that
    of the other."""
    runs = {
        name: record.of_run(options.workdir / name) for name in ("scratch", "start")
    }
    curves = {name: run["curve"] for name, run in runs.items()}
    examples = runs["start"]["result"]["examples"]
    minutes = [run["minutes"] for run in runs.values()]
    return {
        **runs["start"],
        "claim": CLAIM,
        "command": f"python -m experiments.fine_tuning --seed {options.seed}",
        "trained_by": {name: run["command"] for name, run in runs.items()},
        "result": {**curves["start"][0], "examples": examples},
        "scratch": {**curves["scratch"][0], "examples": examples},
        "minutes": None if None in minutes else round(sum(minutes), 1),
        "curves": curves,
    }


def changes(known: list[records.Record]) -> list[float]:
    """Error after one epoch minus that from initial values, in points, per seed."""
    return [
        100 * (r["result"]["top1_error"] - r["scratch"]["top1_error"])
        for r in records.of_claim(known, CLAIM)
    ]


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "experiments.fine_tuning", __doc__ or "")
    return command.run(lambda: print(run(options)), mesh=MeshConfig())


if __name__ == "__main__":
    sys.exit(main())
