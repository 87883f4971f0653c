"""Tries of a fault, in several processes, with the evidence of those that failed."""

import functools
import os
import pickle
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.campaigns import jobs
from tests.campaigns.jobs import Place

_WORKERS = os.cpu_count() or 1
_MACHINE = re.compile(r"(/[\w.~-]+)+/")  # folders, which records do not name
_PATIENCE = 600  # seconds after which a try counts as hanging


class Try(NamedTuple):
    """How one try went."""

    hit: bool
    """True if the fault met what it was meant for, such as a job in a checkpoint."""
    wrong: Sequence[str] = ()
    outcome: str = ""
    """Of inputs: "accepted" or "refused"."""
    note: str = ""
    """For the remark of the row."""


class Row(NamedTuple):
    """What a campaign came to."""

    fault: str
    tries: int
    hits: int
    survived: int
    lost: int
    accepted: int | None
    refused: int | None
    seconds: float
    remark: str


Attempt = Callable[[Path, int], Try]
"""Tries once, with an empty folder and the number of the try."""


def count(
    place: Place,
    fault: str,
    wanted: int,
    attempt: Attempt,
    *,
    most: int | None = None,
    remark: Callable[[list[Try]], str] = lambda tries: "",
) -> Row:
    """Tries until there are `wanted` hits.

    Args:
        most: tries at most; None means three times as many as hits. Fewer hits than
            wanted count as lost, unless `most` is what was wanted.
    """
    began = time.monotonic()
    limit = 3 * wanted if most is None else most
    workers = [
        _fork_worker(place, attempt, number, wanted, limit)
        for number in range(min(_WORKERS, wanted))
    ]
    tries = [one for worker in workers for one in _result(*worker)]
    missing = max(wanted - len(_hits(tries)), 0) if most is None else 0
    return row_of(fault, tries, began, remark(tries), missing)


def _hits(tries: list[Try]) -> list[Try]:
    return [one for one in tries if one.hit or one.wrong]


def row_of(
    fault: str, tries: list[Try], began: float, remark: str, missing: int = 0
) -> Row:
    """
    Args:
        began: by `time.monotonic`.
        missing: hits that were wanted and not made.
    """
    hits = _hits(tries)
    survived = sum(not one.wrong for one in hits)
    wrong = [text for one in tries for text in one.wrong]
    if missing:
        wrong.append(f"{missing} too few were hit")
    outcomes = [one.outcome for one in tries if one.outcome]
    row = Row(
        fault=fault,
        tries=len(tries),
        hits=len(hits),
        survived=survived,
        lost=len(hits) - survived + missing,
        accepted=outcomes.count("accepted") if outcomes else None,
        refused=outcomes.count("refused") if outcomes else None,
        seconds=round(time.monotonic() - began, 1),
        remark=_MACHINE.sub("", "; ".join(filter(None, [remark, *wrong[:3]])))[:600],
    )
    print(f"{fault}: {survived} of {row.hits} survived; {row.remark}", flush=True)
    return row


def _fork_worker(
    place: Place, attempt: Attempt, worker: int, wanted: int, limit: int
) -> tuple[jobs.Job, Path]:
    result = place.folder / f"worker{worker}"
    workers = min(_WORKERS, wanted)
    quota = len(range(worker, wanted, workers))

    def work() -> None:
        tries: list[Try] = []
        for number in range(worker, limit, workers):
            if sum(one.hit for one in tries) < quota:
                tries.append(_once(place, attempt, number))
        result.write_bytes(pickle.dumps(tries))

    output = result.with_suffix(".said")
    return jobs.start(work, (), output), result


def _result(worker: jobs.Job, result: Path) -> list[Try]:
    code, said = worker.end(patience=24 * 3600)
    if code:
        raise RuntimeError(f"a worker ended with code {code}: {said}")
    return pickle.loads(result.read_bytes())


def _once(place: Place, attempt: Attempt, number: int) -> Try:
    folder = place.folder / f"{number}"
    folder.mkdir()
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(_PATIENCE)
    try:
        one = attempt(folder, number)
    except Exception:
        one = Try(True, [traceback.format_exc()])
    signal.alarm(0)
    if one.wrong:
        kept = place.out.resolve() / "failures" / f"{place.folder.name}-{number}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept, symlinks=True)
        (kept / "wrong.txt").write_text("\n".join(one.wrong) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    return one


def _too_long(*_: object) -> None:
    raise TimeoutError(f"the try takes longer than {_PATIENCE} seconds")


@functools.cache
def make_tests_importable() -> None:
    """Campaigns share stand-ins with the tests."""
    tests = jobs.REPOSITORY / "tests"
    sys.path[:0] = [str(tests), str(tests / "preparation")]
