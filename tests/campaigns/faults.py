"""Disks that are full, data that breaks, a loss that is no number: each
ends in a message, and the same command goes on when the fault is gone."""

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.campaigns import jobs
from tests.campaigns.jobs import Place, Row
from tests.campaigns.kills import whole_run


@contextlib.contextmanager
def _small_disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    """A file system of its own, in memory. Needs the right to mount."""
    folder.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", os.fspath(folder)], check=True)


def _mount(*arguments: str | Path) -> None:
    command = ["mount", *map(os.fspath, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def _complaints(code: int, said: str, expected: str) -> list[str]:
    """What is wrong with the end of a job that met a fault."""
    wrong = []
    if code not in (1, 2) or "error: " not in said or expected not in said:
        wrong.append(f"code {code}: {said[-300:]}")
    if "Traceback" in said:
        wrong.append("a traceback")
    return wrong


def full_disks(place: Place, tries: int) -> Row:
    """Of all sizes from one that holds no checkpoint to one that holds nearly all."""
    whole, _ = whole_run(place)
    chance = random.Random(5)
    survived, complaints = 0, []
    for number in range(tries):
        size = chance.randrange(200, 2000)
        with _small_disk(place.folder / f"disk{number}", size) as disk:
            code, said = jobs.finish(jobs.start_training(place, disk / "run"))
            wrong = _complaints(code, said, "o space left") if code else []
            _mount("-o", "remount,size=100m", disk)
            code, said = jobs.finish(jobs.start_training(place, disk / "run"))
            wrong += [said[-300:]] if code else jobs.differences(whole, disk / "run")
        complaints += [f"{size} KiB: {one}" for one in wrong]
        survived += not wrong
    return Row("full disk in training", tries, survived, "; ".join(complaints))


def filling_disks(place: Place, tries: int) -> Row:
    """Somebody else fills the disk at a random moment, and makes room later."""
    whole, seconds = whole_run(place)
    chance = random.Random(6)
    survived, complaints = 0, []
    for number in range(tries):
        with _small_disk(place.folder / f"disk{number}", 100_000) as disk:
            process = jobs.start_training(place, disk / "run")
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0.2, 0.8) * seconds)
            _fill(disk)
            code, said = jobs.finish(process)
            wrong = _complaints(code, said, "") if code else []
            (disk / "ballast").unlink()
            code, said = jobs.finish(jobs.start_training(place, disk / "run"))
            wrong += [said[-300:]] if code else jobs.differences(whole, disk / "run")
        complaints += wrong
        survived += not wrong
    return Row("disk that fills up in training", tries, survived, "; ".join(complaints))


def _fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "ballast").open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()


def broken_shards(place: Place, tries: int) -> Row:
    """The shard of the training images is cut off while the job reads it."""
    whole, seconds = whole_run(place)
    chance = random.Random(7)
    met = survived = 0
    complaints = []
    for number in range(3 * tries):  # some are done before they meet the fault
        workdir = place.folder / f"run{number}"
        data = shutil.copytree(place.data, place.folder / f"data{number}")
        (shard,) = data.rglob("*train.array_record*")
        own = Place(place.folder, data)
        process = jobs.start_training(own, workdir, "--data.stored", "records")
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.3, 0.8) * seconds)
        content = shard.read_bytes()
        os.truncate(shard, 100)
        code, said = jobs.finish(process)
        wrong = _complaints(code, said, "cannot be read")
        shard.write_bytes(content)
        if code != 0:
            met += 1
            code, said = jobs.finish(jobs.start_training(own, workdir))
            wrong += [said[-300:]] if code else jobs.differences(whole, workdir)
            complaints += wrong
            survived += not wrong
        shutil.rmtree(data)
        if met == tries:
            break
    return Row("shard cut off in training", met, survived, "; ".join(complaints))


def planted_nan(place: Place, tries: int) -> Row:
    """A rate that makes the loss infinite in the third epoch; the second is kept."""
    survived, complaints = 0, []
    for seed in range(tries):
        workdir = place.folder / f"nan{seed}"
        rates = ("--optimizer.layer-rates", "fc8", "2", "1e6", "--seed", seed)
        code, said = jobs.finish(jobs.start_training(place, workdir, *rates))
        wrong = _complaints(code, said, "the last checkpoint before it is kept")
        step = int(jobs.final_state(workdir)[".step"])
        wrong += [] if step == 16 else [f"step {step} is kept"]
        complaints += wrong
        survived += not wrong
    return Row("infinite loss", tries, survived, "; ".join(complaints))


def full_disk_in_prepare(place: Place, tries: int) -> Row:
    """Its own estimate of the space is told a lie, so that it begins."""
    jobs.make_tests_importable()
    import stand_ins
    import test_prepare

    tars = place.folder / "tars"
    tars.mkdir()
    stand_ins.write_tars(tars, num_train=240, num_validation=60)
    lie = "prepare._check_space = lambda *_: None\n"
    chance = random.Random(8)
    survived, complaints, expected = 0, [], None

    def prepare(data: Path) -> tuple[int, str]:
        python, option, code, *rest = test_prepare.command(tars, data)
        code = code.replace("sys.exit", lie + "sys.exit")
        result = subprocess.run(
            [python, option, code, *rest],
            capture_output=True,
            text=True,
            env=jobs.environment(),
        )
        return result.returncode, result.stdout + result.stderr

    prepare(place.folder / "whole")
    expected = test_prepare.digest(place.folder / "whole")
    size = sum(p.stat().st_size for p in (place.folder / "whole").rglob("*"))
    for number in range(tries):
        room = int(chance.uniform(0.1, 0.9) * size / 1024)
        with _small_disk(place.folder / f"disk{number}", room) as disk:
            wrong = _complaints(*prepare(disk), "o space left")
            _mount("-o", "remount,size=500m", disk)
            code, said = prepare(disk)
            wrong += [said[-300:]] if code else []
            if test_prepare.digest(disk) != expected:
                wrong.append("other bytes")
        complaints += [f"{room} KiB: {one}" for one in wrong]
        survived += not wrong
    return Row("full disk in prepare", tries, survived, "; ".join(complaints))
