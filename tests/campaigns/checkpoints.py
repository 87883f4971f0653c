"""Altered checkpoints: the one before is used, by `evaluate` and by training."""

import functools
import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.campaigns import jobs, tries
from tests.campaigns.fuzz import ACCEPTED, REFUSED, altered
from tests.campaigns.jobs import Place
from tests.campaigns.tries import Row, Try

_OLD, _NEW = jobs.STEPS_PER_EPOCH, jobs.NUM_STEPS

Alter = Callable[[Path, random.Random], None]
"""Alters a folder of a checkpoint."""


def _file(folder: Path, chance: random.Random) -> Path:
    return chance.choice(sorted(p for p in folder.rglob("*") if p.is_file()))


def _patched(folder: Path, chance: random.Random) -> None:
    path = _file(folder, chance)
    path.write_bytes(altered(path.read_bytes(), chance, most=3, head=30))


def _emptied(folder: Path, chance: random.Random) -> None:
    _file(folder, chance).write_bytes(b"")


def _deleted(folder: Path, chance: random.Random) -> None:
    _file(folder, chance).unlink()


def _added(folder: Path, chance: random.Random) -> None:
    (_file(folder, chance).parent / "surplus").write_bytes(chance.randbytes(9))


def _replaced(folder: Path, chance: random.Random) -> None:
    """A file by that of the other checkpoint."""
    other = folder.with_name(str(_OLD + _NEW - int(folder.name)))
    name = chance.choice(("metrics/metrics", "_CHECKPOINT_METADATA", jobs.SEAL))
    shutil.copy(other / name, folder / name)


def _empty_seal(folder: Path, chance: random.Random) -> None:
    del chance
    (folder / jobs.SEAL).write_bytes(b"")


def _cut_seal(folder: Path, chance: random.Random) -> None:
    """At the end of a line, so that what is left looks whole; and a file is altered,
    which the rest may not mention."""
    lines = (folder / jobs.SEAL).read_bytes().splitlines(keepends=True)
    (folder / jobs.SEAL).write_bytes(b"".join(lines[: chance.randrange(len(lines))]))
    if chance.random() < 0.5:
        _patched(folder, chance)


def _renumbered(folder: Path, chance: random.Random) -> None:
    """A copy of the checkpoint as one of a later step."""
    shutil.copytree(folder, folder.with_name(str(chance.randint(_NEW + 1, 999))))


_WAYS: tuple[Alter, ...] = (
    *(_patched, _emptied, _deleted, _added, _replaced),
    *(_empty_seal, _cut_seal, _renumbered),
)


def _alter(workdir: Path, number: int) -> bool:
    """Alters a checkpoint of a run, more often the newest; false if nothing changed."""
    chance = random.Random(number)
    checkpoints = workdir / "checkpoints"
    folder = checkpoints / str(_OLD if chance.random() < 0.2 else _NEW)
    before = _bytes(checkpoints)
    _WAYS[number % len(_WAYS)](folder, chance)
    return _bytes(checkpoints) != before


def _bytes(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def evaluated(place: Place, wanted: int) -> Row:
    """What is read has the bits of its step, or nothing is read; an altered checkpoint
    is not. Accepted: the newest step, which may not be the altered one."""

    @functools.cache
    def digest_of(step: int) -> str:
        return _digest(place.whole, str(step))[1]

    def attempt(folder: Path, number: int) -> Try:
        jobs.request_devices()
        workdir = folder / "run"
        shutil.copytree(place.whole, workdir)
        before = _bytes(workdir / "checkpoints" / str(_NEW))
        hit = _alter(workdir, number)
        is_whole = _bytes(workdir / "checkpoints" / str(_NEW)) == before
        step, digest = _digest(workdir, "newest")
        wrong = []
        if step != (_NEW if is_whole else _OLD):
            wrong.append(f"step {step} was read")
        elif digest != digest_of(step):
            wrong.append(f"other bits than those of step {step}")
        way = _WAYS[number % len(_WAYS)].__name__
        outcome = ACCEPTED if step == _NEW else REFUSED
        return Try(hit, [f"{way}: {one}" for one in wrong], outcome)

    return tries.count(place, "altered checkpoint, evaluated", wanted, attempt)


def _digest(workdir: Path, which: str) -> tuple[int, str]:
    step, leaves = jobs.state_of(workdir, which)
    content = b"".join(leaves[name].tobytes() for name in sorted(leaves))
    return step, hashlib.sha256(content).hexdigest()


def resumed(place: Place, wanted: int) -> Row:
    """Training resumes from the checkpoint before, to the same bits."""

    def attempt(folder: Path, number: int) -> Try:
        workdir = folder / "run"
        shutil.copytree(place.whole, workdir)
        hit = _alter(workdir, number)
        wrong = jobs.finish_training(place, workdir)
        way = _WAYS[number % len(_WAYS)].__name__
        return Try(hit, [f"{way}: {one}" for one in wrong])

    return tries.count(place, "altered checkpoint, resumed", wanted, attempt)
