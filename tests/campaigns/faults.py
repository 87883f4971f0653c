"""Disks that are full, data that breaks, a loss that is no number, files that are gone:
each ends in a message, and the same command goes on when the fault is gone."""

import os
import random
import shutil
import time
from pathlib import Path

from tests.campaigns import disks, jobs, tries
from tests.campaigns.jobs import Place
from tests.campaigns.tries import Row, Try

# (layer, epoch, rate): the loss is soon infinite.
_RATES = ("fc8", "1", "1e6", "fc6", "1", "1e6", "conv5", "1", "1e6")


def full_disks(place: Place, wanted: int) -> Row | None:
    """Of all sizes from one that holds no checkpoint to one that holds nearly all."""
    if not disks.can_be_mounted(place):
        return None
    size = sum(path.stat().st_size for path in place.whole.rglob("*")) // 1024

    def attempt(folder: Path, number: int) -> Try:
        room = int(random.Random(number).uniform(0.05, 1.1) * size)
        with disks.small(folder / "run", room) as disk:
            code, said = jobs.start_training(place, disk).end()
            wrong = jobs.complaints(disk, code, said, "o space left") if code else []
            disks.grow(disk)
            wrong += jobs.finish_training(place, disk, may_miss=True)
        return Try(code != 0, [f"{room} KiB: {one}" for one in wrong])

    return tries.count(place, "full disk in training", wanted, attempt)


def filling_disks(place: Place, wanted: int) -> Row | None:
    """Somebody else fills the disk at a random moment, and makes room later."""
    if not disks.can_be_mounted(place):
        return None

    def attempt(folder: Path, number: int) -> Try:
        chance = random.Random(number)
        with disks.small(folder / "run", 10_000) as disk:
            job = jobs.start_training(place, disk)
            job.wait_until((disk / "config.json").exists)
            time.sleep(chance.uniform(0, 0.8) * place.seconds)
            disks.fill(disk)
            code, said = job.end()
            wrong = jobs.complaints(disk, code, said, "o space left") if code else []
            disks.make_room(disk)
            wrong += jobs.finish_training(place, disk, may_miss=True)
        return Try(code != 0, wrong)

    return tries.count(place, "disk that fills up in training", wanted, attempt)


def broken_shards(place: Place, wanted: int) -> Row:
    """The shard of the training images is cut off while the job reads it."""

    def attempt(folder: Path, number: int) -> Try:
        chance, workdir = random.Random(number), folder / "run"
        own = place._replace(data=shutil.copytree(place.data, folder / "data"))
        (shard,) = own.data.rglob("*train.array_record*")
        content = shard.read_bytes()
        job = jobs.start_training(own, workdir, "--data.stored", "records")
        after = chance.randrange(3)  # the loader reads ahead
        job.wait_until(lambda: (workdir / "metrics.jsonl").exists())
        job.wait_until(lambda: jobs.last_step(workdir) >= after)
        os.truncate(shard, chance.randrange(len(content) // 8))
        code, said = job.end()
        wrong = jobs.complaints(workdir, code, said, "cannot be read") if code else []
        shard.write_bytes(content)
        return Try(code != 0, wrong + jobs.finish_training(own, workdir))

    return tries.count(place, "shard cut off in training", wanted, attempt)


def infinite_losses(place: Place, wanted: int) -> Row:
    """A rate that makes the loss infinite in the second epoch; the first is kept."""

    def attempt(folder: Path, number: int) -> Try:
        workdir = folder / "run"
        rates = ("--optimizer.layer-rates", *_RATES, "--seed", number)
        code, said = jobs.start_training(place, workdir, *rates).end()
        wrong = jobs.complaints(
            workdir, code, said, "the last checkpoint before it is kept"
        )
        if (step := jobs.saved_step(workdir)) != jobs.STEPS_PER_EPOCH:
            wrong.append(f"step {step} is kept")
        return Try(True, wrong)

    return tries.count(place, "infinite loss", wanted, attempt)


def moved_directories(place: Place, wanted: int) -> Row:
    """The run directory is renamed or deleted while the job trains."""

    def attempt(folder: Path, number: int) -> Try:
        chance, workdir = random.Random(number), folder / "run"
        job = jobs.start_training(place, workdir)
        after = chance.randrange(1, jobs.NUM_STEPS)
        job.wait_until(lambda: jobs.last_step(workdir) >= after)
        workdir.rename(folder / "elsewhere")
        code, said = job.end()
        wrong = jobs.complaints(workdir, code, said) if code else []
        if code == 0 and jobs.saved_step(folder / "elsewhere") < jobs.NUM_STEPS:
            wrong.append(f"code 0, but the last step is not saved: {said[-600:]}")
        shutil.rmtree(workdir, ignore_errors=True)
        if number % 2:  # deleted
            shutil.rmtree(folder / "elsewhere")
        else:
            (folder / "elsewhere").rename(workdir)
        return Try(code != 0, wrong + jobs.finish_training(place, workdir))

    fault = "run directory renamed or deleted in training"
    return tries.count(place, fault, wanted, attempt)


def lost_checkpoints(place: Place, wanted: int) -> Row:
    """Training does not start over in silence."""

    def attempt(folder: Path, number: int) -> Try:
        workdir = shutil.copytree(place.whole, folder / "run")
        for path in (workdir / "checkpoints").iterdir():
            shutil.rmtree(path) if number % 2 else (path / jobs.SEAL).unlink()
        code, said = jobs.start_training(place, workdir).end()
        wrong = []
        if code != 2 or "--run.start-over" not in said:
            wrong.append(f"code {code}: {said[-600:]}")
        return Try(
            True, wrong + jobs.finish_training(place, workdir, "--run.start-over")
        )

    fault = "all checkpoints deleted, or their seals"
    return tries.count(place, fault, wanted, attempt)
