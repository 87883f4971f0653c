"""Part 2, Figure 1: the record of `experiments.cuda_convnet.figure1`, a copy of which
comes with the package."""

from pathlib import Path
from typing import Any

from alexnet_jax.system import atomic_files

RECORD = Path(__file__).parent / "figure1.json"
_KEPT = ("command", "net", "limit", "result", "runs")


def collect() -> dict[str, Any] | None:
    """Training errors by epoch with ReLU and tanh; None without a record."""
    if not RECORD.exists():
        return None
    record = atomic_files.read_json(RECORD)
    return {name: record[name] for name in _KEPT}
