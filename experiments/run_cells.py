"""Cells of a table that tell how long runs took, and on what."""

import statistics

from alexnet_jax.system import provenance
from experiments.records import Record

RUN_HEAD = ("n", "epochs", "minutes, median", "hardware")


def run_cells(runs: list[Record]) -> tuple[str, ...]:
    """How many runs, how long and on what."""
    return str(len(runs)), f"{runs[0]['epochs']:.0f}", minutes(runs), hardware(runs)


def minutes(runs: list[Record]) -> str:
    """The median of those that are known."""
    known = [r["minutes"] for r in runs if r["minutes"] is not None]
    return f"{statistics.median(known):.1f}" if known else ""


def hardware(runs: list[Record]) -> str:
    return "; ".join(sorted({_hardware(record) for record in runs}))


def _hardware(record: Record) -> str:
    jax = (record.get("versions") or {}).get("jax")
    has_onednn = "onednn_custom_call=true" in (record.get("xla_flags") or "")
    suffix = " with oneDNN" if has_onednn else ""
    return f"{provenance.machine_in_words(record)}, jax {jax}{suffix}"
