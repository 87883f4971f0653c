"""A long run: memory, descriptors and threads must stay as they are, the log short."""

import functools
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.campaigns import jobs, tries
from tests.campaigns.jobs import Place
from tests.campaigns.tries import Row, Try

_SECONDS_BETWEEN = 2
_LONG = 15  # minutes
# An hour; a run of five days would take 2.4 GiB more.
_LIMITS = {"MiB": 20.0, "descriptors": 5.0, "threads": 5.0}


class _Sample(NamedTuple):
    hours: float
    mebibytes: float
    descriptors: int
    threads: int
    steps: int


def memory(place: Place, minutes: int) -> Row:
    """Trains the digits for so many minutes, with a checkpoint every half second or so,
    and fits lines to what follows the first quarter of the time. Less than a quarter of
    an hour is too short to judge."""
    from alexnet_jax import main

    began = time.monotonic()
    workdir = place.folder / "run"
    arguments = (
        *("--workdir", workdir, "--data.data-dir", place.data),
        *("--num-epochs", "1e6", "--data.stored", "records"),
        *("--run.max-minutes", minutes),
    )
    said_to = place.folder / "said"
    before = functools.partial(jobs.note_steps, workdir)
    job = jobs.start(main.main, arguments, said_to, before=before)
    samples = []
    while not job.has_ended() and time.monotonic() - began < 60 * minutes - 5:
        time.sleep(_SECONDS_BETWEEN)
        samples.append(_sample(job.process, workdir, time.monotonic() - began))
    code, said = job.end()
    if code != 75:
        one = Try(True, [f"code {code}: {said[-500:]}"])
        return tries.row_of("long run", [one], began, "")
    slopes = _slopes(np.array(samples[len(samples) // 4 :]))
    limits = _LIMITS if minutes >= _LONG else {}
    wrong = [f"too many {n}" for n, most in limits.items() if slopes[n] > most]
    saved = (workdir / "metrics.jsonl").read_text().count('"eval"')
    remark = (
        f"{minutes} minutes, {samples[-1].steps} steps, {saved} checkpoints, "
        f"{len(said) / 1e3:.0f} kB of log; {samples[-1].mebibytes:.0f} MiB in the end; "
        "an hour: "
        + ", ".join(f"{slope:+.1f} {name}" for name, slope in slopes.items())
    )
    return tries.row_of("long run", [Try(True, wrong)], began, remark)


def _sample(process: int, workdir: Path, seconds: float) -> _Sample:
    folder = Path(f"/proc/{process}")
    status = dict(
        line.split(":", 1) for line in (folder / "status").read_text().splitlines()
    )
    return _Sample(
        hours=seconds / 3600,
        mebibytes=int(status.get("VmRSS", "0 kB").split()[0]) / 1024,
        descriptors=len(list((folder / "fd").iterdir())),
        threads=int(status["Threads"]),
        steps=jobs.last_step(workdir),
    )


def _slopes(samples: np.ndarray) -> dict[str, float]:
    """Of memory, descriptors and threads an hour; of memory per 1,000 steps."""
    hours, mebibytes, descriptors, threads, steps = samples.T
    return {
        "MiB": np.polyfit(hours, mebibytes, 1)[0],
        "descriptors": np.polyfit(hours, descriptors, 1)[0],
        "threads": np.polyfit(hours, threads, 1)[0],
        "MiB per 1,000 steps": 1000 * np.polyfit(steps, mebibytes, 1)[0],
    }
