"""The command: python -m tests.campaigns.reliability

Writes the tables of docs/reliability.md from the records of the campaigns.
"""

import json
import re
from pathlib import Path
from typing import Any

from tests.campaigns import jobs, records
from tests.campaigns.plan import CAMPAIGNS

PAGE = jobs.REPOSITORY / "docs" / "reliability.md"
_LAYOUTS = "layouts"


def page(text: str, folder: Path = records.FOLDER) -> str:
    """The page with the tables that the records in a folder give."""
    text = _between_markers(text, "campaigns", _counts(folder))
    return _between_markers(text, _LAYOUTS, _layouts(folder))


def _between_markers(text: str, name: str, content: str) -> str:
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = text.partition(begin)
    old, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the page lacks {begin} and {end}")
    return f"{before}{begin}\n\n{content}\n{end}{after}" if content else text


def _counts(folder: Path) -> str:
    """One line per row of each record, and where each was counted."""
    rows, places = [], []
    for name in CAMPAIGNS:
        record = _read(folder / f"{name}.json")
        if record is None:
            continue
        place = _circumstances(record)
        places += [] if place in places else [place]
        number = places.index(place) + 1
        rows += [row | {"counted": f"({number})"} for row in record["rows"]]
    listed = [f"({number}) {place}" for number, place in enumerate(places, 1)]
    return _table(rows) + "\n" + "\n\n".join(listed) + "\n" if rows else ""


def _layouts(folder: Path) -> str:
    record = _read(folder / f"{_LAYOUTS}.json")
    return f"{_table(record['rows'])}\n{_circumstances(record)}\n" if record else ""


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None


def _circumstances(record: dict[str, Any]) -> str:
    return (
        f"commit {record['commit']}, {record['date']}: {record['processor']}, "
        f"{record['cores']} cores, Python {record['python']}, JAX {record['jax']}"
    )


def _table(rows: list[dict[str, Any]]) -> str:
    """Markdown; columns have the names of the first row's fields."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names)]
    lines += [[_cell(row[name]) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return re.sub(r"\s+", " ", text).replace("|", "/").strip() or "-"


def write_page() -> None:
    PAGE.write_text(page(PAGE.read_text()))


if __name__ == "__main__":
    write_page()
