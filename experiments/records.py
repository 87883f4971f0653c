"""The records of runs that are kept in this repository."""

import json
from pathlib import Path
from typing import Any

from alexnet_jax import trained

Record = dict[str, Any]
FOLDER = Path(__file__).parents[1] / "results" / "records"


def kept() -> list[Record]:
    """All records, of the networks that come with the package first.

    Those are named for their claim, as far as they have come.
    """
    folder = Path(trained.__file__).parent
    paths = [folder / f"{name}.json" for name in trained.NAMES]
    found = [
        {"claim": path.stem} | json.loads(path.read_text())
        for path in paths
        if path.exists()
    ]
    return found + read(FOLDER)


def read(folder: Path) -> list[Record]:
    """The records in a folder, by name; none where there is no folder."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def of_claim(records: list[Record], claim: str) -> list[Record]:
    """One record for each seed, the first that there is, by seed."""
    by_seed: dict[int, Record] = {}
    for record in records:
        if record["claim"] == claim:
            by_seed.setdefault(record["seed"], record)
    return [by_seed[seed] for seed in sorted(by_seed)]


def errors(runs: list[Record], views: str = "1") -> dict[int, float]:
    """Top-1 error in percent, by seed, of those with this number of views per image."""
    found = {}
    for run in runs:
        centre = {"1": run["result"]["top1_error"]}
        by_views = run.get("top1_error_by_views", centre)
        if views in by_views:
            found[run["seed"]] = 100 * by_views[views]
    return found


def cpu_hours(records: list[Record]) -> float:
    """Cores times hours of all runs whose minutes are known."""
    return sum((r["minutes"] or 0) * r.get("cores", 1) for r in records) / 60
