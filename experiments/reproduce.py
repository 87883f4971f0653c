"""The command: python -m experiments.reproduce --minutes 60 --out runs/reproduce

Trains what the claims of the paper and of its authors need, as far as the minutes go:
the most telling claims first, among those the cheapest. Writes a report card. The same
command goes on where it was. Run it from the root of a clone.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alexnet_jax import command, config_checks
from alexnet_jax.errors import UserError
from alexnet_jax.ranges import Positive
from alexnet_jax.system import atomic_files, provenance, threads
from alexnet_jax.training import record
from experiments import records, report_card
from experiments.claims import CLAIMS, Claim, Training
from experiments.known_answers import ANSWERS, ROOT, TAR, KnownAnswer
from experiments.records import Record
from experiments.variants import did_you_mean

NAMES = tuple(claim.name for claim in (*ANSWERS, *CLAIMS))
CARD = "report_card.md"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the command."""

    minutes: Positive[float] = 60.0
    """Time for training. A run that would take longer than what is left has to wait;
    one that still runs at the end is saved."""
    claims: tuple[str, ...] = field(default_factory=lambda: NAMES)
    """Names of claims; by default all."""
    out: Path
    """Folder of the runs, their records and logs, and the report card."""
    kept: bool = False
    """True counts the runs as done whose records are in this repository."""
    data_dir: Path | None = None
    """The tfds data directory. None means tfds's default."""
    imagenet: Path | None = None
    """Folder with ILSVRC2012_img_train.tar or a sample of it, for the first loss."""


def reproduce(options: Options) -> str:
    """Computes, trains, and returns the report card."""
    config_checks.check_ranges(options)
    _check(options)
    for folder in ("records", "logs", "runs"):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
    answers = [answer for answer in ANSWERS if answer.name in options.claims]
    claims = [claim for claim in CLAIMS if claim.name in options.claims]
    values = _values(answers, options)
    deadline = time.monotonic() + 60 * options.minutes
    failed: list[Training] = []
    while training := next_training(
        claims,
        _known(options),
        costs(options.out),
        (deadline - time.monotonic()) / 60,
        failed,
    ):
        if not _train(training, options, deadline):
            failed.append(training)
    return _card(answers, values, claims, options)


def _check(options: Options) -> None:
    for name in options.claims:
        if name not in NAMES:
            hint = did_you_mean(name, NAMES)
            raise UserError(f"--claims {name}: there is no such claim{hint}")
    if options.imagenet is not None and not (options.imagenet / TAR).is_file():
        raise UserError(f"--imagenet {options.imagenet}: there is no {TAR} in it.")


def _known(options: Options) -> list[Record]:
    """The records of the runs that are done."""
    return records.read(options.out / "records") + records.kept() * options.kept


def costs(out: Path) -> list[Record]:
    """The records that were made on a machine like this one."""
    here = provenance.processor(), threads.usable_cores()
    found = records.read(out / "records") + records.kept()
    return [r for r in found if (r.get("processor"), r.get("cores")) == here]


def next_training(
    claims: Sequence[Claim],
    known: list[Record],
    costs: list[Record],
    minutes: float,
    failed: Sequence[Training] = (),
) -> Training | None:
    """The next run that fits the minutes.

    The claims come by importance, then by the cost of all that they lack.
    """

    def order(claim: Claim) -> tuple[int, float]:
        return claim.importance, sum(t.cost(costs) for t in claim.missing(known))

    for claim in sorted(claims, key=order):
        for training in claim.missing(known):
            if training not in failed and training.cost(costs) <= minutes:
                return training
    return None


def _values(answers: Sequence[KnownAnswer], options: Options) -> dict[str, float]:
    """The known answers, those of the same commit from the file of an earlier call."""
    file = options.out / "known_answers.json"
    content = atomic_files.read_json(file) if file.exists() else {}
    commit = provenance.commit()
    values = content.get("values", {}) if content.get("commit") == commit else {}
    for answer in answers:
        if answer.name not in values and not answer.needs_images:
            values[answer.name] = answer.compute()
        elif answer.name not in values and options.imagenet is not None:
            values[answer.name] = answer.compute(options.imagenet)
    atomic_files.write_json(file, {"commit": commit, "values": values})
    return values


def _train(training: Training, options: Options, deadline: float) -> bool:
    """Trains in a process of its own; True if its record is there in the end.

    At the deadline the run is saved, for the next call.
    """
    out = options.out.resolve()
    name = record.file_name(training.claim, training.seed)
    workdir = out / "runs" / Path(name).stem
    print(f"{training.claim}, seed {training.seed}", flush=True)
    words = [word.format(workdir=workdir) for word in training.command]
    words += ["--record", str(out / "records")]
    environment = dict(os.environ)
    if options.data_dir is not None:
        environment["TFDS_DATA_DIR"] = str(options.data_dir.resolve())
    log = (out / "logs" / name).with_suffix(".log")
    with log.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # one Ctrl-C reaches it once, through `_wait`
        )
        _wait(process, deadline)
    is_done = (out / "records" / name).exists()
    if not is_done:
        print(f"  no record yet; its output: {log}")
    return is_done


def _wait(process: subprocess.Popen, deadline: float) -> None:
    """Waits until the process ends; asks it to save at the deadline and on Ctrl-C."""
    try:
        process.wait(timeout=max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def _card(
    answers: Sequence[KnownAnswer],
    values: dict[str, float],
    claims: Sequence[Claim],
    options: Options,
) -> str:
    """Writes the card and its figure; returns the card."""
    known, out = _known(options), options.out
    text = report_card.table(answers, values, claims, known, costs(out))
    drawn = report_card.draw(known, out)
    figure = f"\n\n![Learning curves]({drawn})" if drawn else ""
    page = f"# Report card\n\n{text}{figure}\n"
    atomic_files.write_bytes(out / CARD, page.encode())
    return f"{text}\n\n{out / CARD}"


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "experiments.reproduce", __doc__ or "")
    kept = "saved states and records are kept, and the same command goes on"
    return command.run(lambda: print(reproduce(options)), stopped=kept)


if __name__ == "__main__":
    sys.exit(main())
