"""The command: python -m experiments.run --experiment columns --preset cifar10

Trains the variants of the paper's questions, one after the other. The same command
resumes. Several commands, on one machine or on several that share the directory,
divide the runs among themselves.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from alexnet_jax import command, config_checks
from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.errors import UserError
from alexnet_jax.presets import PresetName
from alexnet_jax.ranges import Positive, Seed
from alexnet_jax.system import lock, peers
from alexnet_jax.system.interruption import Interruption
from alexnet_jax.system.peer_links import Elsewhere
from experiments import plan
from experiments.plan import Experiment
from experiments.variants import differences

FAILED = "failed.txt"
_KEPT = "finished runs and saved states are kept, and the same command resumes"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the command."""

    experiment: tuple[str, ...] = field(default_factory=plan.question_names)
    """Questions, by the names of their files."""
    preset: PresetName = "alexnet2012"
    """The base that the variants change."""
    seeds: tuple[Seed, ...] = (0,)
    num_epochs: Positive[float] | None = None
    """Length of each run, with its schedule in proportion. None means the base's."""
    data_dir: str | None = None
    """The tfds data directory."""
    workdir: Path = Path("runs/experiments")
    """Each run has its own directory in workdir/preset."""
    only: str = "*"
    """Pattern for experiment/variant/seed, as --dry-run lists them."""
    smoke: bool = False
    """Trains each run for a few steps only, as a test."""
    record: Path | None = None
    """Writes a record of each finished run to this folder."""
    distributed: str = "auto"
    """Several processes that share the work: auto, off, or HOST:PORT of process 0, with
    JAX_NUM_PROCESSES and JAX_PROCESS_ID; see docs/clusters.md."""
    dry_run: bool = False
    """Prints the fields that each variant changes, and trains nothing."""


def root_of(workdir: Path, preset: str, smoke: bool) -> Path:
    """The directory of all runs on a base."""
    return workdir / (f"{preset}-smoke" if smoke else preset)


def run(options: Options, interruption: Interruption | None = None) -> str:
    """Trains the runs that are not finished yet; returns a summary in one line."""
    config_checks.check_ranges(options)
    base = plan.base_config(
        options.preset,
        num_epochs=options.num_epochs,
        data_dir=options.data_dir,
        smoke=options.smoke,
    )
    root = root_of(options.workdir, options.preset, options.smoke)
    runs = plan.plan(base, options.experiment, options.seeds, root, options.only)
    if options.dry_run:
        return _description(base, options.experiment)
    if options.record is not None and peers.here().is_first:
        _check_record(options.record, options.smoke)
    taken = 0
    for number, planned in enumerate(runs, 1):
        print(f"[{number}/{len(runs)}] {planned.name}, seed {planned.seed}", flush=True)
        try:
            if _train(planned.config, planned.directory, interruption):
                _record(planned, base, options)
        except (lock.Taken, Elsewhere) as error:
            if isinstance(error, Elsewhere) and error.kind != "Taken":
                raise
            print(f"  skipped: {error}", flush=True)
            taken += 1
    elsewhere = f", {taken} running elsewhere" if taken else ""
    return f"{len(runs) - taken} runs done{elsewhere}, in {root}"


def _train(config: Config, directory: Path, interruption: Interruption | None) -> bool:
    """Trains to the end; a run that diverges is noted and not tried again.

    Returns False if it diverged.
    """
    import jax

    from alexnet_jax import train

    here = peers.here()
    failed = here.found_by_first(lambda: _failure(directory))
    if failed is not None:
        print(f"  skipped, it diverged: {failed}")
        return False
    try:
        train.train_and_evaluate(config, directory, interruption)
    except FloatingPointError as error:
        if here.is_first:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / FAILED).write_text(str(error))
        print(f"  diverged: {error}")
        return False
    finally:
        jax.clear_caches()  # the next run compiles another program
    return True


def _failure(directory: Path) -> str | None:
    """Why a run has diverged before; None if it has not."""
    path = directory / FAILED
    return path.read_text() if path.exists() else None


def _check_record(folder: Path, smoke: bool) -> None:
    from alexnet_jax.training import record

    if smoke:
        raise UserError("--record: the few steps of --smoke are no result to keep.")
    if folder.suffix == ".json":
        raise UserError(f"--record {folder}: name a folder, for a file of each run.")
    record.check_writable(folder)


def _record(planned: plan.Run, base: Config, options: Options) -> None:
    from alexnet_jax.training import record

    if options.record is not None and peers.here().is_first:
        epochs = base.num_epochs
        claim = f"{planned.name} on {options.preset}, {epochs:g} epochs"
        of_run = record.of_run(planned.directory, claim)
        what = {"variant": planned.name, "preset": options.preset, "num_epochs": epochs}
        record.write(options.record, of_run | what)


def _description(base: Config, names: tuple[str, ...]) -> str:
    """Each variant with the fields that it changes."""
    run_names = plan.run_names(base)
    lines = []
    for name in names:
        lines += _describe(plan.open_experiment(name, base), base, run_names)
    return "\n".join(lines)


def _describe(
    experiment: Experiment, base: Config, run_names: dict[Config, str]
) -> list[str]:
    lines = [f"{experiment.name}: {experiment.question}"]
    for variant, config in experiment.variants.items():
        name = f"{experiment.name}/{variant}"
        shared = run_names[config] != name
        lines.append(f"  {name}" + (f" (is {run_names[config]})" if shared else ""))
        lines += [
            f"    {field}: {old} -> {new}"
            for field, (old, new) in differences(base, config).items()
        ]
    return lines


def _run(options: Options) -> None:
    plan.check_names(options.experiment)
    with Interruption(owns_process=True) as interruption:
        if not options.dry_run:
            from alexnet_jax.system import compilation_cache, distributed  # imports JAX

            compilation_cache.use()
            distributed.start(MeshConfig(), options.distributed)
        print(run(options, interruption))


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "experiments.run", __doc__ or "")
    return command.run(lambda: _run(options), stopped=_KEPT)


if __name__ == "__main__":
    sys.exit(main())
