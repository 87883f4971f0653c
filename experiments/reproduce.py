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
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alexnet_jax import command, config_checks
from alexnet_jax.errors import UserError
from alexnet_jax.ranges import Positive
from alexnet_jax.system import atomic_files, provenance
from alexnet_jax.system.interruption import EXIT_RESUME, stop_signals
from alexnet_jax.training import record
from experiments import known_answers, records, report_card
from experiments.claim import Claim, Training
from experiments.claims import CLAIMS
from experiments.known_answers import ANSWERS, ROOT, TAR
from experiments.records import Record
from experiments.report_card import Row
from experiments.variants import did_you_mean

NAMES = tuple(claim.name for claim in (*ANSWERS, *CLAIMS))
CARD = "report_card.md"
SAVED = "stopped and saved; the same command goes on"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the command."""

    minutes: Positive[float] = 60.0
    """Time for training. A run that would take longer than what is left has to wait,
    unless it has begun; one that still runs at the end is saved."""
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


def reproduce(options: Options) -> tuple[str, bool]:
    """Computes, trains, and writes the report card, also when it is stopped.

    Returns the card for a terminal, and whether a run has failed.
    """
    config_checks.check_ranges(options)
    _check(options)
    for folder in ("records", "logs", "runs"):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
    claims = [claim for claim in CLAIMS if claim.name in options.claims]
    answers = [answer for answer in ANSWERS if answer.name in options.claims]
    file = options.out / "records" / record.file_name(known_answers.CLAIM, seed=0)
    values = known_answers.values(answers, options.imagenet, file)
    tried: dict[Training, str] = {}
    try:
        _train_all(claims, options, tried)
    finally:
        rows = [report_card.of_answer(a, values.get(a.name)) for a in answers]
        known, known_costs = _known(options), costs(options.out)
        rows += _claim_rows(claims, known, known_costs, tried)
        lack = report_card.lack_in_all(claims, known, known_costs)
        remark = _write_card(rows, lack, known, options.out)
    have_failed = any(reason != SAVED for reason in tried.values())
    parts = report_card.aligned(rows), lack, remark
    return "\n\n".join(filter(None, parts)), have_failed


def _check(options: Options) -> None:
    for name in options.claims:
        if name not in NAMES:
            hint = did_you_mean(name, NAMES)
            raise UserError(f"--claims {name}: there is no such claim{hint}")
    if options.imagenet is not None and not (options.imagenet / TAR).is_file():
        raise UserError(f"--imagenet {options.imagenet}: there is no {TAR} in it.")


def _train_all(
    claims: Sequence[Claim], options: Options, tried: dict[Training, str]
) -> None:
    """Trains one run after the other, as far as the minutes go.

    Args:
        tried: receives the runs that end without a record, and the reason.
    """
    deadline = time.monotonic() + 60 * options.minutes
    begun = {t for c in claims for t in c.trainings if _workdir(t, options).exists()}
    while (left := deadline - time.monotonic()) > 0 and (
        training := next_training(
            claims, _known(options), costs(options.out), left / 60, tried, begun
        )
    ):
        print(f"{training.claim}, seed {training.seed}", flush=True)
        if reason := _train(training, options, deadline):
            tried[training] = reason
            print(f"  {reason}", flush=True)


def _known(options: Options) -> list[Record]:
    """The records of the runs that are done."""
    return records.read(options.out / "records") + records.kept() * options.kept


def costs(out: Path) -> list[Record]:
    """The records that were made as here: processor, cores, JAX and its flags."""
    here = _place(provenance.of_result())
    found = records.read(out / "records") + records.kept()
    return [known for known in found if _place(known) == here]


def _place(source: Record) -> tuple[object, ...]:
    jax = (source.get("versions") or {}).get("jax")
    flags = source.get("xla_flags") or ""
    return source.get("processor"), source.get("cores"), jax, flags


def next_training(
    claims: Sequence[Claim],
    known: list[Record],
    costs: list[Record],
    minutes: float,
    tried: Collection[Training] = (),
    begun: Collection[Training] = (),
) -> Training | None:
    """The next run that fits the minutes or has begun before.

    The claims come by importance, then by the cost of all that they lack.
    """

    def order(claim: Claim) -> tuple[int, float]:
        return claim.importance, sum(t.cost(costs) for t in claim.missing(known))

    for claim in sorted(claims, key=order):
        for training in claim.missing(known):
            fits = training in begun or training.cost(costs) <= minutes
            if fits and training not in tried:
                return training
    return None


def _workdir(training: Training, options: Options) -> Path:
    name = record.file_name(training.claim, training.seed)
    return options.out.resolve() / "runs" / Path(name).stem


def _train(training: Training, options: Options, deadline: float) -> str | None:
    """Trains in a process of its own; None if its record is there in the end, or else
    the reason why not.

    At the deadline the run is saved, for the next call.
    """
    out, workdir = options.out.resolve(), _workdir(training, options)
    words = [word.format(workdir=workdir) for word in training.command]
    words += ["--record", str(out / "records")]
    environment = dict(os.environ)
    if options.data_dir is not None:
        environment["TFDS_DATA_DIR"] = str(options.data_dir.resolve())
    log = out / "logs" / f"{workdir.name}.log"
    with log.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # one Ctrl-C reaches it once, through `_wait`
        )
        code = _wait(process, deadline)
    if (out / "records" / f"{workdir.name}.json").exists():
        return None
    is_saved = code in (EXIT_RESUME, command.STOPPED)
    return SAVED if is_saved else f"failed with code {code}; its output: {log}"


def _wait(process: subprocess.Popen, deadline: float) -> int:
    """Waits until the process ends, and returns its code; asks it to save at the
    deadline, and when this process is asked to stop."""
    # Also that of a closed terminal, and those of batch systems.
    with command.as_ctrl_c(stop_signals()):
        try:
            return process.wait(timeout=max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise


def _claim_rows(
    claims: Sequence[Claim],
    known: list[Record],
    costs: list[Record],
    tried: dict[Training, str],
) -> list[Row]:
    """What there is, what is missing, and the first reason why."""
    rows = []
    for claim in claims:
        row = report_card.of_claim(claim, known)
        row = report_card.with_lack(row, claim, known, costs)
        reasons = [tried[t] for t in claim.missing(known) if t in tried]
        rows.append(row._replace(met="; ".join([row.met, *reasons[:1]])))
    return rows


def _write_card(rows: Sequence[Row], lack: str, known: list[Record], out: Path) -> str:
    """Writes the card, and then with its figure; returns where, and a remark where the
    figure is missing."""
    card, remark = out / CARD, ""
    parts = "# Report card", report_card.markdown(rows), lack
    text = "\n\n".join(filter(None, parts)) + "\n"
    atomic_files.write_bytes(card, text.encode())
    try:
        figure = report_card.draw(known, out)
    except UserError as error:  # without matplotlib
        figure, remark = None, f"\nno learning curves: {error}"
    if figure is not None:
        text += f"\n![Learning curves]({figure})\n"
        atomic_files.write_bytes(card, text.encode())
    return f"{card}{remark}"


def _run(options: Options) -> int:
    card, have_failed = reproduce(options)
    print(card)
    return command.FAULT if have_failed else command.DONE


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "experiments.reproduce", __doc__ or "")
    kept = "saved states, records and the report card are kept, and the same command"
    return command.run(lambda: _run(options), stopped=f"{kept} goes on")


if __name__ == "__main__":
    sys.exit(main())
