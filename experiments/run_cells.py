"""Cells of a table that tell of runs: values over seeds, how long and on what."""

import statistics

from alexnet_jax.system import provenance
from experiments.records import Record

RUN_HEAD = ("n", "epochs", "minutes per run", "hardware")


def run_cells(runs: list[Record]) -> tuple[str, ...]:
    """How many runs, how long and on what."""
    return (
        str(len(runs)),
        f"{runs[0]['epochs']:.0f}",
        median([r["minutes"] for r in runs if r["minutes"] is not None]),
        "; ".join(sorted({hardware(record) for record in runs})),
    )


def hardware(record: Record) -> str:
    jax = (record.get("versions") or {}).get("jax")
    return f"{provenance.machine_in_words(record)}, jax {jax}"


def median(values: list[float]) -> str:
    return f"{statistics.median(values):.1f}" if values else ""


def measured(values: list[float]) -> str:
    """Mean ± standard deviation, and the range, of several values; or the one."""
    if len(values) < 2:
        return "".join(f"{value:.2f}" for value in values)
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    return f"{mean:.2f} ± {deviation:.2f} ({min(values):.2f} to {max(values):.2f})"
