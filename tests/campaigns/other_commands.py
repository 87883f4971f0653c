"""Kills and full disks of the commands that do not train: evaluate, sweep, prepare."""

import hashlib
import random
import time
from pathlib import Path

import numpy as np

from tests.campaigns import disks, jobs, tries
from tests.campaigns.jobs import Job, Place
from tests.campaigns.kills import killed
from tests.campaigns.tries import Row, Try


def _seconds_of(job: Job) -> float:
    began = time.monotonic()
    code, said = job.end()
    assert code == 0, said
    return time.monotonic() - began


def evaluations(place: Place, wanted: int) -> Row:
    """Stored predictions are whole or not there, and in the end those of an undisturbed
    evaluation."""
    from alexnet_jax import evaluate

    arguments = ("--workdir", place.whole, "--views", 10, "--predictions")

    def start(file: Path) -> Job:
        said = file.with_suffix(".said")
        return jobs.start(evaluate.main, (*arguments, file), said)

    expected = place.folder / "expected.npz"
    _seconds_of(start(expected))  # compiles
    seconds = _seconds_of(start(expected))

    def attempt(folder: Path, number: int) -> Try:
        found = folder / "found.npz"
        hit, wrong = killed(start(found), seconds, random.Random(number))
        if found.exists() and not _same_arrays(expected, found):
            wrong.append("other predictions after the kill")
        code, said = start(found).end()
        if code or not _same_arrays(expected, found):
            wrong.append(f"other predictions in the end: code {code}: {said[-600:]}")
        return Try(hit, wrong)

    return tries.count(place, "SIGKILL of evaluate --predictions", wanted, attempt)


def _same_arrays(one: Path, other: Path) -> bool:
    with np.load(one) as expected, np.load(other) as found:
        return expected.files == found.files and all(
            np.array_equal(expected[name], found[name]) for name in expected.files
        )


def sweeps(place: Place, wanted: int) -> Row:
    """All runs of a sweep, killed and started again."""
    whole = place.folder / "whole"
    _seconds_of(_start_sweep(place, place.folder / "first"))  # compiles
    seconds = _seconds_of(_start_sweep(place, whole))

    def attempt(folder: Path, number: int) -> Try:
        workdir = folder / "sweep"
        job = _start_sweep(place, workdir)
        hit, wrong = killed(job, seconds, random.Random(number))
        code, said = _start_sweep(place, workdir).end()
        if code:
            return Try(hit, [*wrong, f"then code {code}: {said[-600:]}"])
        for one in _runs(whole):
            wrong += jobs.differences(one, workdir / one.relative_to(whole))
        return Try(hit, wrong)

    return tries.count(place, "SIGKILL of a sweep", wanted, attempt)


def _start_sweep(place: Place, workdir: Path) -> Job:
    """Two runs of half an epoch."""
    from experiments import run

    def summarise() -> None:
        for one in _runs(workdir):
            jobs.write_summary(one)

    arguments = (
        *("--experiment", "pooling", "--preset", "digits", "--num-epochs", "0.5"),
        *("--data-dir", place.data, "--workdir", workdir),
    )
    said = workdir.with_name(f"{workdir.name}.said")
    return jobs.start(run.main, arguments, said, after=summarise)


def _runs(workdir: Path) -> list[Path]:
    return sorted(path.parent for path in workdir.rglob("config.json"))


def preparations(place: Place, wanted: int) -> Row:
    """The same bytes as in one go."""
    whole, seconds = _prepared(place)

    def attempt(folder: Path, number: int) -> Try:
        data = folder / "data"
        job = _start_preparation(place, data)
        hit, wrong = killed(job, seconds, random.Random(number))
        code, said = _start_preparation(place, data).end()
        if code or _digest(data) != _digest(whole):
            wrong.append(f"other bytes: code {code}: {said[-600:]}")
        return Try(hit, wrong)

    return tries.count(place, "SIGKILL of prepare", wanted, attempt)


def full_disks_in_preparation(place: Place, wanted: int) -> Row | None:
    """Its own estimate of the space is told a lie, so that it begins."""
    if not disks.can_be_mounted(place):
        return None
    whole, _ = _prepared(place)
    size = sum(path.stat().st_size for path in whole.rglob("*")) // 1024

    def attempt(folder: Path, number: int) -> Try:
        room = int(random.Random(number).uniform(0.05, 1) * size)
        with disks.small(folder / "data", room) as data:
            code, said = _start_preparation(place, data).end()
            wrong = jobs.complaints(data, code, said, "o space left") if code else []
            disks.grow(data)
            then, said = _start_preparation(place, data).end()
            if then or _digest(data) != _digest(whole):
                wrong.append(f"other bytes: code {then}: {said[-600:]}")
        return Try(code != 0, [f"{room} KiB: {one}" for one in wrong])

    return tries.count(place, "full disk in prepare", wanted, attempt)


def _prepared(place: Place) -> tuple[Path, float]:
    """A dataset that was prepared in one go, and how long it took."""
    tries.make_tests_importable()
    import stand_ins

    tars = place.folder / "tars"
    tars.mkdir()
    stand_ins.write_tars(tars, num_train=240, num_validation=60)
    whole = place.folder / "whole"
    return whole, _seconds_of(_start_preparation(place, whole))


def _start_preparation(place: Place, data: Path) -> Job:
    """In shards of 20 images, so that there are many."""
    from alexnet_jax import prepare
    from alexnet_jax.preparation import write_dataset

    def before() -> None:
        write_dataset._SHARD, write_dataset._CHUNK = 20, 4
        prepare._check_space = lambda *_: None

    arguments = (
        *("--source", place.folder / "tars", "--data-dir", data, "--raw"),
        *("--num-workers", "2", "--image-size", "200"),
    )
    said = data.with_name(f"{data.name}.said")
    return jobs.start(prepare.main, arguments, said, before=before)


def _digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
