"""Signals at random moments of a training job."""

import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.campaigns import jobs, tries
from tests.campaigns.jobs import Job, Place
from tests.campaigns.tries import Row, Try

_LONGER = 1.2  # several jobs at a time are slower than the one that was timed


def killed(job: Job, at_most: float, chance: random.Random) -> tuple[bool, list[str]]:
    """Kills a job at a random moment; false if it had ended, and what is wrong then."""
    time.sleep(chance.uniform(0, _LONGER * at_most))
    job.send(signal.SIGKILL)
    code, said = job.end()
    ended_well = code in (0, -signal.SIGKILL)
    wrong = [] if ended_well else [f"code {code}: {said[-600:]}"]
    return code == -signal.SIGKILL, wrong


def _phases(done: list[Try]) -> str:
    return ", ".join(f"{n} {phase}" for phase, n in sorted(_notes(done).items()))


def _notes(done: list[Try]) -> Counter[str]:
    return Counter(one.note for one in done if one.hit)


def sigkills(
    place: Place,
    wanted: int,
    fault: str = "SIGKILL at a random moment",
    options: tuple[Any, ...] = (),
) -> Row:
    """At moments spread evenly over the whole life of the job."""

    def attempt(folder: Path, number: int) -> Try:
        workdir = folder / "run"
        job = jobs.start_training(place, workdir, *options)
        hit, wrong = killed(job, place.seconds, random.Random(number))
        step = jobs.last_step(workdir)
        phase = f"after step {step}" if step else "before the first step"
        wrong += jobs.finish_training(place, workdir)
        return Try(hit, wrong, note=phase)

    return tries.count(place, fault, wanted, attempt, remark=_phases)


def sigkills_with_many_checkpoints(place: Place, wanted: int) -> Row:
    """Checkpoints in the midst of an epoch, after every step."""
    every_step = ("--run.checkpoint-minutes", "1e-6")
    fault = "SIGKILL, with a checkpoint after every step"
    return sigkills(place, wanted, fault, every_step)


def sigkills_in_checkpoints(place: Place, wanted: int) -> Row:
    """While Orbax's temporary folder is there, or the folder without its seal."""

    def attempt(folder: Path, number: int) -> Try:
        chance, workdir = random.Random(number), folder / "run"
        job = jobs.start_training(place, workdir)
        # Sometimes the second checkpoint.
        after = chance.choice((0, jobs.STEPS_PER_EPOCH))
        job.wait_until(lambda: jobs.saved_step(workdir) >= after)
        job.wait_until(lambda: _unfinished(workdir))
        hit, wrong = killed(job, chance.choice((0, 0.01, 0.1)), chance)
        left = _unfinished(workdir)
        phase = "before" if any("tmp" in name for name in left) else "after"
        wrong += jobs.finish_training(place, workdir)
        return Try(hit and bool(left), wrong, note=f"{phase} Orbax's renaming")

    fault = "SIGKILL while a checkpoint is written"
    return tries.count(place, fault, wanted, attempt, remark=_phases)


def _unfinished(workdir: Path) -> list[str]:
    folders = jobs.checkpoint_folders(workdir)
    return [path.name for path in folders if not (path / jobs.SEAL).exists()]


def sigterms(place: Place, wanted: int) -> Row:
    return _signals(place, wanted, signal.SIGTERM)


def sighups(place: Place, wanted: int) -> Row:
    return _signals(place, wanted, signal.SIGHUP)


def sigusr1s(place: Place, wanted: int) -> Row:
    return _signals(place, wanted, signal.SIGUSR1)


def _signals(place: Place, wanted: int, number: signal.Signals) -> Row:
    """The job must end by itself, with code 75, and have saved its last step."""

    def attempt(folder: Path, seed: int) -> Try:
        chance, workdir = random.Random(seed), folder / "run"
        job = jobs.start_training(place, workdir)
        after = chance.randrange(jobs.NUM_STEPS)
        job.wait_until(
            lambda: (workdir / ".lock").exists() and jobs.last_step(workdir) >= after
        )
        time.sleep(chance.uniform(0, 0.1 if after else place.seconds / 2))
        sent = time.monotonic()
        job.send(number)
        code, said = job.end(patience=60)
        wrong = [] if code in (0, 75) else [f"code {code}: {said[-600:]}"]
        done, saved = jobs.last_step(workdir), jobs.saved_step(workdir)
        if saved != done:
            wrong.append(f"step {done} was done, step {saved} is saved")
        took = f"{time.monotonic() - sent:.1f}"
        return Try(code == 75, wrong + jobs.finish_training(place, workdir), note=took)

    def remark(done: list[Try]) -> str:
        slowest = max(map(float, _notes(done)), default=0)
        return f"saved the last step that was done, within {slowest} s"

    return tries.count(place, number.name, wanted, attempt, remark=remark)
