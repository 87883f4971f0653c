"""Writes the table of parity in docs/weights.md from the newest record.

python -m benchmarks.parity_page
"""

import json
from pathlib import Path
from typing import Any

from experiments import marked_part

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "weights.md"
RESULTS = ROOT / "benchmarks" / "results"
PROGRAM = "benchmarks.parity_page"
_SHOWN = ("jax", "onnx", "onnxruntime", "torch")


def newest_record() -> dict[str, Any]:
    """The record of the last date."""
    return json.loads(max(RESULTS.glob("*-parity.json")).read_text())


def text(record: dict[str, Any]) -> str:
    """The conditions, and the largest difference of each network in each form."""
    known = record["versions"]
    versions = ", ".join(f"{name} {known[name]}" for name in _SHOWN if name in known)
    images = sum(record["batches"])
    batches = ", ".join(map(str, record["batches"]))
    return "\n\n".join(
        [
            f"{record['date']}, {record['hardware']}; {versions}. {images} images in "
            f"batches of {batches}; the limit is {record['limit']:.0e}.",
            marked_part.table(_rows(record["rows"])),
        ]
    )


def _rows(rows: list[dict[str, Any]]) -> marked_part.Table:
    forms = list(dict.fromkeys(row["form"] for row in rows))
    lines = [("network", "weights", "images", *forms, "same best class")]
    for preset in dict.fromkeys(row["preset"] for row in rows):
        own = {row["form"]: row for row in rows if row["preset"] == preset}
        first = own[forms[0]]
        same = min(row["same_best_class"] for row in own.values())
        largest = [_largest(own[form]["differences"]) for form in forms]
        facts = (f"`{preset}`", first["weights"], first["images"])
        lines.append((*facts, *largest, f"{same}"))
    return lines


def _largest(differences: dict[str, float]) -> str:
    stage = max(differences, key=lambda name: differences[name])
    if differences[stage] == 0:
        return "0"
    return f"{differences[stage]:.1e} at {stage}"


def with_table(page: str, record: dict[str, Any]) -> str:
    """The page with what this record says."""
    return marked_part.replaced(page, PROGRAM, text(record))


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(), newest_record()))
