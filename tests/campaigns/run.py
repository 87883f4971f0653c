"""The command: python -m tests.campaigns.run

Disturbs real jobs in many ways and prints a table: kind of fault, tries, survived,
lost. All of it takes hours; --only chooses, --few shows that it works. Results of each
campaign are kept in --out, and the table has all that lie there.
"""

import json
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from tests.campaigns import busy, faults, fuzz, jobs, kills, soak

# Name, function of (place, tries), tries.
CAMPAIGNS = {
    "sigkill": (kills.sigkills, 50),
    "sigkill_checkpoint": (kills.sigkills_in_checkpoints, 20),
    "sigterm": (kills.sigterms, 20),
    "evaluate": (kills.evaluations, 10),
    "sweep": (kills.sweeps, 10),
    "prepare": (kills.preparations, 20),
    "full_disk": (faults.full_disks, 10),
    "filling_disk": (faults.filling_disks, 10),
    "full_disk_prepare": (faults.full_disk_in_prepare, 10),
    "broken_shard": (faults.broken_shards, 10),
    "nan": (faults.planted_nan, 3),
    "configs": (fuzz.configs, 1000),
    "images": (fuzz.pictures, 500),
    "archives": (fuzz.archives, 500),
    "checkpoints": (fuzz.checkpoints, 200),
    "weight_files": (fuzz.weight_files, 1000),
    "busy": (busy.busy, 30),
    "soak": (soak.memory, 60),  # minutes
}
_FEW = 3


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    only: tuple[str, ...] = tuple(CAMPAIGNS)
    """Campaigns, one or more."""
    few: bool = False
    """A few tries of each."""
    out: Path = Path("runs/campaigns")
    """Folder of the results."""


def run(chosen: Options) -> str:
    """Runs what was chosen; returns the table of all results there are."""
    from alexnet_jax.data import digits

    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "tfds"
        digits.prepare(str(data))
        for name in chosen.only:
            campaign, tries = CAMPAIGNS[name]
            place = jobs.Place(Path(folder) / name, data, chosen.out)
            place.folder.mkdir()
            began = time.monotonic()
            rows = campaign(place, min(tries, _FEW) if chosen.few else tries)
            minutes = (time.monotonic() - began) / 60
            print(f"{name}: {minutes:.1f} minutes", file=sys.stderr, flush=True)
            found = [rows] if isinstance(rows, jobs.Row) else rows
            content = [row._asdict() | {"lost": row.lost} for row in found]
            (chosen.out / f"{name}.json").write_text(json.dumps(content, indent=2))
    text = table(chosen.out)
    (chosen.out / "table.md").write_text(text)
    return text


def table(folder: Path) -> str:
    """Markdown of all results in a folder."""
    lines = ["| fault | tries | survived | lost | |", "|---|---|---|---|---|"]
    for name in CAMPAIGNS:
        path = folder / f"{name}.json"
        for row in json.loads(path.read_text()) if path.exists() else []:
            remark = row["remark"].replace("\n", " ").replace("|", "/")
            lines.append(
                f"| {row['fault']} | {row['tries']} | {row['survived']} | "
                f"{row['lost']} | {remark} |"
            )
    where = f"{platform.system()}, {platform.machine()}, {platform.python_version()}"
    return "\n".join([*lines, "", where, ""])


def main() -> int:
    """Returns the exit code: 0 nothing lost, 1 something."""
    chosen = tyro.cli(
        Options, prog="python -m tests.campaigns.run", description=__doc__
    )
    unknown = set(chosen.only) - set(CAMPAIGNS)
    if unknown:
        print(f"error: --only: there are {', '.join(CAMPAIGNS)}", file=sys.stderr)
        return 2
    import jax

    jax.config.update("jax_num_cpu_devices", 2)
    print(run(chosen))
    results = [json.loads(p.read_text()) for p in chosen.out.glob("*.json")]
    return int(any(row["lost"] for rows in results for row in rows))


if __name__ == "__main__":
    sys.exit(main())
