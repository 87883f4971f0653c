"""A long run: memory must stay flat, and the log short."""

import time
from pathlib import Path

import numpy as np

from tests.campaigns import jobs
from tests.campaigns.jobs import Place, Row

_SECONDS_BETWEEN = 2
_LIMIT = 20  # MiB an hour: a five-day run would take 2.4 GiB more


def memory(place: Place, minutes: int) -> Row:
    """Trains the digits for so many minutes, with a checkpoint every half second or so,
    and fits a line to the resident memory of the second half."""
    process = jobs.start_training(
        *(place, place.folder / "run", "--num-epochs", "1000000"),
        *("--run.max-minutes", minutes, "--data.stored", "records"),
    )
    samples = []
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < 60 * minutes - 5:
        time.sleep(_SECONDS_BETWEEN)
        samples.append((time.monotonic() - began, _resident(process.pid)))
    code, said = jobs.finish(process)
    later = np.array(samples[len(samples) // 2 :])
    slope = 3600 * np.polyfit(later[:, 0], later[:, 1], 1)[0]
    records = (place.folder / "run" / "metrics.jsonl").read_text().count('"eval"')
    remark = (
        f"{minutes} minutes, {records} epochs and checkpoints, "
        f"{len(said) / 1e3:.0f} kB of log; resident memory "
        f"{later[0, 1]:.0f} to {later[-1, 1]:.0f} MiB in the second half, "
        f"{slope:+.1f} MiB an hour"
    )
    well = code == 75 and slope < _LIMIT
    return Row("long run", 1, int(well), remark if code == 75 else said[-500:])


def _resident(process: int) -> float:
    """MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")
