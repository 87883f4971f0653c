"""The command: python -m tests.campaigns.run

Disturbs real jobs in many ways, and counts what is lost. All of it takes half an hour
on two cores; soak and busy, which take longer, run only if --only names them.
"""

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from tests.campaigns import jobs, records, reliability
from tests.campaigns.jobs import Place
from tests.campaigns.plan import APART, CAMPAIGNS

_FEW = 3


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    only: tuple[str, ...] = tuple(name for name in CAMPAIGNS if name not in APART)
    """Campaigns, one or more."""
    few: bool = False
    """A few tries of each."""
    out: Path = Path("runs/campaigns")
    """Folder of the results: a record per campaign, and the failures."""
    record: bool = False
    """Writes the records beside the campaigns and the table in docs/reliability.md."""


def run(options: Options) -> int:
    """Runs what was chosen and returns how much was lost."""
    lost = 0
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ |= _compiled_once(folder / "compiled")
        _import_everything()
        place = Place(folder, folder / "tfds", folder / "whole" / "run", options.out)
        _prepare_digits(place)
        jobs.whole_run(place)
        for name in options.only:
            lost += _run_one(name, place, options)
    if options.record:
        reliability.write_page()
    return lost


def _run_one(name: str, place: Place, options: Options) -> int:
    campaign, wanted = CAMPAIGNS[name]
    own = place._replace(folder=place.folder / name)
    own.folder.mkdir()
    began = time.monotonic()
    rows = campaign(own, _FEW if options.few else wanted)
    rows = rows if isinstance(rows, list) else [row for row in [rows] if row]
    if not rows:
        print(f"{name}: skipped", flush=True)
        return 0
    folder = records.FOLDER if options.record else options.out
    records.write(folder / f"{name}.json", [row._asdict() for row in rows])
    print(f"{name}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    return sum(row.lost for row in rows)


def _compiled_once(cache: Path) -> dict[str, str]:
    """Compiled programs are kept, since most of a short job is compilation."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }


def _import_everything() -> None:
    """So that no try does; after the environment of JAX is set, which it reads then."""
    import gc

    import tensorboardX.event_file_writer  # noqa: F401

    from alexnet_jax import evaluate, main, prepare, train  # noqa: F401
    from experiments import run  # noqa: F401

    gc.collect()
    gc.freeze()  # collections of the forked processes are short


def _prepare_digits(place: Place) -> None:
    from alexnet_jax.data import digits

    job = jobs.start(lambda: digits.prepare(str(place.data)), (), place.folder / "said")
    code, said = job.end()
    assert code == 0, said


def main() -> int:
    """Returns the exit code: 0 nothing lost, 1 something, in what was run now."""
    options = tyro.cli(
        Options, prog="python -m tests.campaigns.run", description=__doc__
    )
    unknown = set(options.only) - set(CAMPAIGNS)
    if unknown:
        print(f"error: --only: there are {', '.join(CAMPAIGNS)}", file=sys.stderr)
        return 2
    return int(run(options) > 0)


if __name__ == "__main__":
    sys.exit(main())
