"""Writes the tables of docs/accelerators.md from benchmarks/results/aot-*.json.

python -m benchmarks.accelerators_page
"""

import json
from pathlib import Path
from typing import Any

from aot import KEY

from experiments import marked_part

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "accelerators.md"
RESULTS = ROOT / "benchmarks" / "results"
PROGRAM = "benchmarks.accelerators_page"

Row = dict[str, Any]
_TARGETS = {"h100": "H100", "v5e:2x2": "TPU v5e"}


def known_rows() -> list[Row]:
    """All rows of all files, in the order of what they are about."""
    rows = [
        row
        for path in sorted(RESULTS.glob("aot-*.json"))
        for row in json.loads(path.read_text())
    ]
    return sorted(rows, key=lambda row: [row[name] for name in KEY])


def tables(rows: list[Row]) -> str:
    """What the programs need, where their bytes go, and what they needed before."""
    now = [row for row in rows if not row["superseded"]]
    changes = _changes(rows)
    return "\n\n".join(
        [
            *_versions(now),
            _table({_name(row): _needs(row) for row in now}),
            "Bytes that kernels read and write, MB per image, by what they compute:",
            _table({_name(row): _categories(row) for row in now}),
            *(
                ["Before the changes below, and now:", _table(changes)]
                if changes
                else []
            ),
        ]
    )


def _versions(rows: list[Row]) -> list[str]:
    """A line for each target: versions and commits."""
    lines = []
    for target in dict.fromkeys(row["target"] for row in rows):
        found = [row for row in rows if row["target"] == target]
        versions = ", ".join(f"{n} {v}" for n, v in found[0]["versions"].items())
        commits = ", ".join(sorted({row["commit"][:7] for row in found}))
        lines.append(f"{_TARGETS.get(target, target)}: {versions}; commit {commits}.")
    return lines


def _table(programs: dict[str, dict[str, str]]) -> str:
    """A row for each program; all have the same columns."""
    head = ("program", *next(iter(programs.values())))
    rows = [(name, *cells.values()) for name, cells in programs.items()]
    return marked_part.table([head, *rows])


def _name(row: Row) -> str:
    target, preset, step, mesh, precision, batch = (row[name] for name in KEY)
    device = _TARGETS.get(target, target)
    return f"{device}, `{preset}`, {step}, {mesh}, {precision}, {batch:,}"


def _megabytes(number: float) -> str:
    return f"{number / 1e6:,.0f}"


def _needs(row: Row) -> dict[str, str]:
    operations, least = row["operations"], row["least_bytes"]
    return {
        "GFLOP": f"{operations / 1e9:,.1f}" if operations else "not reported",
        "arguments, MB": _megabytes(row["argument_bytes"]),
        "temporaries, MB": _megabytes(row["temporary_bytes"]),
        "sent, bytes": f"{row['sent_bytes']:,}",
        "sent / minimum": f"{row['sent_bytes'] / least:.3f}" if least else "none",
        "kernels": str(row["kernels"]),
        "MB per image": f"{row['kernel_bytes_per_image'] / 1e6:.1f}",
        "ms per step": "",
    }


def _categories(row: Row) -> dict[str, str]:
    touched = row["kernel_bytes"]
    scale = row["kernel_bytes_per_image"] / sum(touched.values())
    return {
        category: f"{number * scale / 1e6:.1f}" for category, number in touched.items()
    }


_CHANGED = {
    "MB per image": lambda row: f"{row['kernel_bytes_per_image'] / 1e6:.1f}",
    "of that normalisation": lambda row: _categories(row)["normalisation"],
    "temporaries, MB": lambda row: _megabytes(row["temporary_bytes"]),
    "sent, bytes": lambda row: f"{row['sent_bytes']:,}",
}


def _changes(rows: list[Row]) -> dict[str, dict[str, str]]:
    """ "before -> now" of programs that have both; before is the oldest row."""
    now = {_name(row): row for row in rows if not row["superseded"]}
    before = {_name(row): row for row in reversed(rows) if row["superseded"]}
    return {
        name: {
            column: f"{value(before[name])} -> {value(row)}"
            for column, value in _CHANGED.items()
        }
        for name, row in now.items()
        if name in before
    }


def with_tables(page: str, rows: list[Row]) -> str:
    """The page with what these rows say."""
    return marked_part.replaced(page, PROGRAM, tables(rows))


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(), known_rows()))
