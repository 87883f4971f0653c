"""Kills at random moments: training, checkpoints, evaluation, sweeps, preparation."""

import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import numpy as np

from tests.campaigns import jobs
from tests.campaigns.jobs import Place, Row

Disturb = Callable[[Popen[str], Path], bool]
"""Disturbs a job in its directory; false if it had ended before."""


def whole_run(place: Place) -> tuple[Path, float]:
    """The undisturbed run and the seconds from its first line to its end, both from a
    second run, which compiles nothing."""
    for name in ("first", "whole"):
        process = jobs.start_training(place, place.folder / name)
        _first_line(process)
        began = time.monotonic()
        code, said = jobs.finish(process)
        assert code == 0, said
    differing = jobs.differences(place.folder / "first", place.folder / "whole")
    assert not differing, f"two undisturbed runs differ in {differing}"
    return place.folder / "whole", time.monotonic() - began


def _first_line(process: Popen[str]) -> None:
    assert process.stdout is not None
    process.stdout.readline()


def disturbed_training(
    place: Place, whole: Path, tries: int, disturb: Disturb, allowed: set[int]
) -> tuple[int, int, list[str]]:
    """Disturbs jobs, each again and again until it is done, and compares their ends.

    Args:
        allowed: exit codes of a disturbed job.

    Returns:
        Tries that hit a running job, those among them after which all was well, and
        what was not.
    """
    done = survived = number = 0
    complaints = []
    while done < tries:
        number += 1
        workdir, hits, well = place.folder / f"job{number}", 0, True
        while True:
            process = jobs.start_training(place, workdir)
            hit = done + hits < tries and disturb(process, workdir)
            code, said = jobs.finish(process)
            hits += hit and code != 0
            if code not in allowed | {0}:
                complaints.append(f"code {code}: {said[-1000:]}")
                well = False
                break
            if code == 0:
                break
        if well and (differing := jobs.differences(whole, workdir)):
            complaints.append(f"{workdir.name} differs: {differing}")
            well = False
        done += hits
        survived += hits if well else 0
        shutil.rmtree(workdir)
    return done, survived, complaints


def sigkills(place: Place, tries: int) -> Row:
    """At moments spread evenly over the whole life of the job."""
    whole, seconds = whole_run(place)
    chance = random.Random(0)

    def disturb(process: Popen[str], _: Path) -> bool:
        _first_line(process)
        time.sleep(chance.uniform(0, seconds))
        process.kill()
        return process.wait() == -signal.SIGKILL

    done, survived, complaints = disturbed_training(
        place, whole, tries, disturb, {-signal.SIGKILL}
    )
    return Row("SIGKILL at a random moment", done, survived, "; ".join(complaints))


def sigkills_in_checkpoints(place: Place, tries: int) -> Row:
    """While Orbax's temporary folder is there, or the folder without its seal."""
    whole, _ = whole_run(place)
    chance = random.Random(1)
    in_writing = []

    def disturb(process: Popen[str], workdir: Path) -> bool:
        after = chance.randrange(0, jobs.NUM_STEPS, 8)  # not always the first
        if not (
            jobs.wait_until(lambda: _newest(workdir) >= after, process)
            and jobs.wait_until(lambda: bool(_unfinished(workdir)), process)
        ):
            return False
        time.sleep(chance.uniform(0, 0.08))
        process.kill()
        process.wait()
        in_writing.append(bool(_unfinished(workdir)))
        return in_writing[-1]

    done, survived, complaints = disturbed_training(
        place, whole, tries, disturb, {-signal.SIGKILL}
    )
    remark = f"{sum(in_writing)} left a half-written checkpoint behind"
    return Row(
        "SIGKILL while a checkpoint is written",
        done,
        survived,
        "; ".join([remark, *complaints]),
    )


def _unfinished(workdir: Path) -> list[str]:
    return [p.name for p in _folders(workdir) if not (p / "SHA256SUMS").exists()]


def _newest(workdir: Path) -> int:
    sealed = [p.name for p in _folders(workdir) if (p / "SHA256SUMS").exists()]
    return max(map(int, sealed), default=0)


def _folders(workdir: Path) -> list[Path]:
    try:
        return [path for path in (workdir / "checkpoints").iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []


def sigterms(place: Place, tries: int) -> Row:
    """The job must end by itself, with code 75, and have lost no step."""
    whole, seconds = whole_run(place)
    chance = random.Random(2)
    took = []

    def disturb(process: Popen[str], workdir: Path) -> bool:
        _first_line(process)
        time.sleep(chance.uniform(0, seconds))
        if process.poll() is not None:
            return False
        sent = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        took.append(time.monotonic() - sent)
        return process.returncode == 75

    done, survived, complaints = disturbed_training(place, whole, tries, disturb, {75})
    remark = f"ended within {max(took):.1f} s"
    return Row("SIGTERM", done, survived, "; ".join([remark, *complaints]))


def evaluations(place: Place, tries: int) -> Row:
    """Stored predictions are whole or not there, and in the end those of an undisturbed
    evaluation."""
    whole, _ = whole_run(place)
    arguments = ("--workdir", whole, "--views", 10, "--predictions")

    def evaluate(file: Path) -> Popen[str]:
        return jobs.start("alexnet_jax.evaluate", *arguments, file)

    expected, found = place.folder / "expected.npz", place.folder / "found.npz"
    for _ in range(2):
        began = time.monotonic()
        code, said = jobs.finish(evaluate(expected))
        assert code == 0, said
    seconds = time.monotonic() - began
    chance = random.Random(3)
    done = survived = 0
    while done < tries:
        process = evaluate(found)
        time.sleep(chance.uniform(0.3, 1) * seconds)
        process.kill()
        killed = process.wait() == -signal.SIGKILL
        process.communicate()
        done += killed
        whole_or_nothing = not found.exists() or _same_arrays(expected, found)
        if not found.exists():
            jobs.finish(evaluate(found))
        survived += killed and whole_or_nothing and _same_arrays(expected, found)
        found.unlink()
    return Row("SIGKILL of evaluate --predictions", done, survived)


def _same_arrays(one: Path, other: Path) -> bool:
    with np.load(one) as expected, np.load(other) as found:
        return expected.files == found.files and all(
            np.array_equal(expected[name], found[name]) for name in expected.files
        )


def sweeps(place: Place, tries: int) -> Row:
    """All runs of a sweep, killed and started again until it is done."""

    def sweep(workdir: Path) -> Popen[str]:
        return jobs.start(
            "experiments.run",
            *("--experiment", "pooling", "--preset", "digits", "--seeds", "0", "1"),
            *("--num-epochs", "1", "--data-dir", place.data, "--workdir", workdir),
        )

    for name in ("first", "whole"):
        began = time.monotonic()
        code, said = jobs.finish(sweep(place.folder / name))
        assert code == 0, said
    seconds = time.monotonic() - began
    chance = random.Random(4)
    done = survived = number = 0
    complaints = []
    while done < tries:
        number += 1
        workdir, hits, code = place.folder / f"sweep{number}", 0, -signal.SIGKILL
        while code == -signal.SIGKILL:
            process = sweep(workdir)
            if done + hits < tries:
                time.sleep(chance.uniform(0.2, 1) * seconds)
                process.kill()
            code, said = jobs.finish(process)
            hits += code == -signal.SIGKILL
        differing = [f"code {code}: {said[-500:]}"] if code else []
        for run in sorted((place.folder / "whole" / "digits").glob("*/seed*")):
            other = workdir / run.relative_to(place.folder / "whole")
            differing += jobs.differences(run, other)
        complaints += differing
        done += hits
        survived += 0 if differing else hits
        shutil.rmtree(workdir)
    return Row("SIGKILL of a sweep", done, survived, "; ".join(complaints))


def preparations(place: Place, tries: int) -> Row:
    """The same bytes as in one go: the job of tests/preparation/test_prepare.py."""
    jobs.make_tests_importable()
    import test_prepare

    done = survived = 0
    remark = ""
    while done < tries:
        folder = place.folder / f"prepare{done}"
        folder.mkdir()
        hits = 0
        try:
            hits = test_prepare.kill_often(folder, min(20, tries - done), 0.3)
            survived += hits
        except AssertionError as error:
            remark = str(error)[:300]
            hits = hits or 1
        done += hits
    return Row("SIGKILL of prepare", done, survived, remark)
