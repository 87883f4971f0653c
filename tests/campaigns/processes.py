"""Two processes of one run, a column each, of which one is killed or told to stop."""

import os
import random
import signal
import time
from functools import partial
from pathlib import Path

from alexnet_jax.system import process_variables
from tests.campaigns import jobs, tries
from tests.campaigns.jobs import Job, Place
from tests.campaigns.tries import Row, Try

_PATIENCE = 60  # seconds for the other process to end


def kills(place: Place, wanted: int) -> Row:
    return _disturbed(place, wanted, signal.SIGKILL)


def stops(place: Place, wanted: int) -> Row:
    return _disturbed(place, wanted, signal.SIGTERM)


def _disturbed(place: Place, wanted: int, number: signal.Signals) -> Row:
    """Both must end, the undisturbed one with code 75; after SIGTERM the last step that
    was done is saved. One process then finishes the run."""

    def attempt(folder: Path, seed: int) -> Try:
        chance, workdir = random.Random(seed), folder / "run"
        both = _start_two(place, workdir)
        after = chance.randrange(jobs.NUM_STEPS)
        both[0].wait_until(lambda: _began(workdir) and jobs.last_step(workdir) >= after)
        time.sleep(chance.uniform(0, 0.1 if after else place.seconds / 2))
        sent, disturbed = time.monotonic(), chance.randrange(2)
        both[disturbed].send(number)
        codes, said = zip(*[job.end(_PATIENCE) for job in both], strict=True)
        took = f"{time.monotonic() - sent:.1f}"
        good = {0, 75, -number} if number == signal.SIGKILL else {0, 75}
        wrong = [
            f"process {index} ended with code {code}: {text[-600:]}"
            for index, (code, text) in enumerate(zip(codes, said, strict=True))
            if code not in good or "Traceback" in text
        ]
        done, saved = jobs.last_step(workdir), jobs.saved_step(workdir)
        if number != signal.SIGKILL and saved != done:
            wrong.append(f"step {done} was done, step {saved} is saved")
        hit = codes[1 - disturbed] == 75
        return Try(hit, wrong + jobs.finish_training(place, workdir), note=took)

    def remark(done: list[Try]) -> str:
        slowest = max((float(one.note) for one in done if one.hit), default=0)
        return f"both had ended within {slowest} s"

    fault = f"{number.name} of one of two processes"
    return tries.count(place, fault, wanted, attempt, remark=remark)


def _began(workdir: Path) -> bool:
    """The processes have found each other, and one has locked the directory."""
    return (workdir / ".lock").exists()


def _start_two(place: Place, workdir: Path) -> list[Job]:
    from alexnet_jax import main

    address = process_variables.free_address()
    options = ("--workdir", workdir, "--data.data-dir", place.data, *jobs.TRAIN)

    def begin(index: int) -> None:
        jobs.note_steps(workdir)
        os.environ |= process_variables.of_process(index, 2, address)

    return [
        jobs.start(
            main.main,
            options,
            workdir.with_name(f"{workdir.name}.process{index}"),
            before=partial(begin, index),
        )
        for index in range(2)
    ]
