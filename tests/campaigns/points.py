"""A fault at every write, rename and fsync of a training job, one after the other.

After each the same command must end with 0 and give what an undisturbed run gives.
"""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

from tests.campaigns import fault_points, jobs, power_loss, tries
from tests.campaigns.fault_points import END, IO_ERROR, KILL, NO_SPACE, POWER, SHORT
from tests.campaigns.jobs import Place
from tests.campaigns.tries import Row, Try

FAULTS = {
    KILL: "SIGKILL before every write, fsync, rename and removal",
    NO_SPACE: "no space left at every write",
    SHORT: "every write cut short, then no space left",
    IO_ERROR: "input/output error at every fsync, rename and removal",
    POWER: "power lost before every write, fsync, rename and removal",
}


def points(place: Place, wanted: int | None, kind: str) -> Row:
    """At each point, of a kind of fault. `wanted` are how many, spread; None: all."""
    listed = _listed(place)
    chosen = [point for point in listed if fault_points.applies(kind, point)]
    if kind == POWER:
        chosen.append(END)
    if wanted is not None:
        chosen = chosen[:: -(-len(chosen) // wanted)]
    attempt = _attempt(place, kind, chosen)
    fault, most = FAULTS[kind], len(chosen)
    return tries.count(place, fault, most, attempt, most=most, remark=_most_seen)


def _most_seen(tried: list[Try]) -> str:
    missed = sum(not one.hit for one in tried)
    return f"{missed} points were not reached" if missed else "each point was reached"


def _listed(place: Place) -> list[str]:
    """All points of the job, but of the many writes of an archive the first and last:
    nothing reads a file that has not got its name."""
    found = fault_points.FaultPoints(place.folder / "run", place.folder)
    path = place.folder / "points.json"
    job = jobs.start_training(
        place,
        place.folder / "run",
        before=found.install,
        after=lambda: path.write_text(json.dumps(found.points)) and None,
    )
    code, said = job.end()
    assert code == 0, said
    listed: list[str] = json.loads(path.read_text())
    inner = re.compile(r"write .*\.npz #(\d+)")
    archive = [point for point in listed if inner.match(point)]
    return [point for point in listed if point not in archive[1:-1]]


def _attempt(place: Place, kind: str, chosen: list[str]) -> Callable[[Path, int], Try]:
    def attempt(folder: Path, number: int) -> Try:
        point, workdir = chosen[number], folder / "run"
        found = fault_points.FaultPoints(workdir, folder, point, kind)
        job = jobs.start_training(
            place,
            workdir,
            before=found.install,
            after=lambda: found.strike() if point == END else None,
        )
        code, said = job.end()
        if not (folder / "struck").exists():
            return Try(False, [f"{point}: code {code}: {said[-300:]}"] if code else [])
        lives = kind not in (KILL, POWER)
        wrong = [] if code == -signal.SIGKILL else [f"code {code}: {said[-300:]}"]
        if lives:
            wrong = jobs.complaints(workdir, code, said) if code else []
        if kind == POWER:
            power_loss.lose(workdir, folder, names=number % 2 == 1)
        wrong += jobs.finish_training(place, workdir, may_miss=lives)
        return Try(True, [f"{point}: {one}" for one in wrong])

    return attempt
