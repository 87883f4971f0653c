"""The command: python -m experiments.run --experiment columns --preset cifar10

Trains the variants of the paper's questions, one after the other. The same command goes
on where it was; started several times, on one machine or on several that share the
directory, each takes runs that no other works on.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from alexnet_jax import config_checks
from alexnet_jax.config import Config, MeshConfig, Positive, Seed
from alexnet_jax.errors import DamagedRecord, Fault, UserError
from alexnet_jax.presets import PresetName
from alexnet_jax.system import lock
from alexnet_jax.system.interruption import EXIT_RESUME, Interrupted, Interruption
from experiments import plan
from experiments.variants import differences

FAILED = "failed.txt"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    experiment: tuple[plan.Name, ...] = plan.NAMES
    """Questions, one or more; none: all."""
    preset: PresetName = "alexnet2012"
    """The base that the variants change."""
    seeds: tuple[Seed, ...] = (0,)
    num_epochs: Positive[float] | None = None
    """Length of each run; the schedule is stretched with it. None: that of the base."""
    data_dir: str | None = None
    """The tfds data directory."""
    workdir: Path = Path("runs/experiments")
    """Each run has a directory of its own in workdir/preset."""
    only: str = "*"
    """Pattern of experiment/variant/seed, as --dry-run lists them."""
    smoke: bool = False
    """A few steps of each run, to see that all is in order."""
    dry_run: bool = False
    """Prints what each variant changes, and trains nothing."""


def root_of(workdir: Path, preset: str, smoke: bool) -> Path:
    """The directory of all runs of a base."""
    return workdir / (f"{preset}-smoke" if smoke else preset)


def run(chosen: Options, stop: Interruption | None = None) -> str:
    """Trains what is not finished yet; returns a line on how it went."""
    config_checks.check_ranges(chosen)
    base = plan.base_config(
        chosen.preset,
        num_epochs=chosen.num_epochs,
        data_dir=chosen.data_dir,
        smoke=chosen.smoke,
    )
    root = root_of(chosen.workdir, chosen.preset, chosen.smoke)
    runs = plan.plan(base, chosen.experiment, chosen.seeds, root, chosen.only)
    if chosen.dry_run:
        return "\n".join(_described(base, chosen))
    left = 0
    for number, one in enumerate(runs, 1):
        print(f"[{number}/{len(runs)}] {one.name}, seed {one.seed}", flush=True)
        try:
            _train(one.config, one.directory, stop)
        except lock.Taken as error:
            print(f"  left alone: {error}", flush=True)
            left += 1
    others = f", {left} in other hands" if left else ""
    return f"{len(runs) - left} runs done{others}, in {root}"


def _train(config: Config, directory: Path, stop: Interruption | None) -> None:
    """Trains to the end; a run that diverges is noted and not tried again."""
    import jax

    from alexnet_jax import train

    if (directory / FAILED).exists():
        print(f"  left alone: {(directory / FAILED).read_text()}")
        return
    try:
        train.train_and_evaluate(config, directory, stop)
    except FloatingPointError as error:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / FAILED).write_text(str(error))
        print(f"  diverged: {error}")
    jax.clear_caches()  # the next run has another program


def _described(base: Config, chosen: Options) -> list[str]:
    """Each variant with the fields that it changes."""
    lines = []
    names = plan.run_names(base)
    for name in chosen.experiment:
        experiment = plan.open_experiment(name, base)
        lines.append(f"{name}: {experiment.question}")
        for variant, config in experiment.variants.items():
            same = names[config] != f"{name}/{variant}"
            lines.append(
                f"  {name}/{variant}" + (f" (is {names[config]})" if same else "")
            )
            lines += [
                f"    {field}: {old} -> {new}"
                for field, (old, new) in differences(base, config).items()
            ]
    return lines


def main() -> int:
    """Returns the exit code: 0 done, 1 a fault, 2 a mistake, 75 stopped and saved."""
    chosen = tyro.cli(Options, prog="python -m experiments.run", description=__doc__)
    with Interruption(owns_process=True) as stop:
        from alexnet_jax.system import devices

        devices.request_cpu_devices(MeshConfig())
        try:
            print(run(chosen, stop))
        except (UserError, DamagedRecord, Fault, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2 if isinstance(error, UserError) else 1
        except Interrupted as stopped:
            print(f"{stopped}; the same command goes on from there", file=sys.stderr)
            return EXIT_RESUME
    return 0


if __name__ == "__main__":
    sys.exit(main())
