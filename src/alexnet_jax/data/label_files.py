"""The classes of images from a table: a CSV file with the columns image and label."""

import collections
import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from alexnet_jax.errors import UserError

_FIRST = 3  # examples of each problem in a message


class _Row(NamedTuple):
    line: int
    image: str
    label: str


def labels_of(images: Sequence[str], table: Path) -> list[str]:
    """The class name of each image, from the row of a table that names it.

    A row names an image by its path as in `images`, else by its path from the folder of
    the table, else by its file name, if no other image has the same.

    Args:
        images: paths.
        table: CSV in UTF-8, with a header. Columns other than image and label are
            ignored.

    Raises:
        UserError: the table cannot be read or lacks a column; or images and rows do not
            correspond one to one. Says how many, and which first.
    """
    rows = _read(table)
    found: dict[int, list[_Row]] = {index: [] for index in range(len(images))}
    useless = []
    for row, indices in zip(rows, _indices(rows, images, table.parent), strict=True):
        useless += [] if indices else [row]
        for index in indices:
            found[index].append(row)
    several = [index for index, rows in found.items() if len(rows) > 1]
    problems = {
        "images without a row": [images[i] for i, rows in found.items() if not rows],
        "images with several rows": [
            f"{images[i]} in lines {', '.join(str(row.line) for row in found[i])}"
            for i in several
        ],
        "rows without an image, or of a file name that several have": [
            f"{row.image} in line {row.line}" for row in useless
        ],
        "rows without a label": [f"line {row.line}" for row in rows if not row.label],
    }
    _refuse(problems, table)
    return [row.label for (row,) in found.values()]


def _refuse(problems: dict[str, list[str]], table: Path) -> None:
    lines = [
        f"\n  {problem} ({len(examples):,}): {', '.join(examples[:_FIRST])}"
        + ", ..." * (len(examples) > _FIRST)
        for problem, examples in problems.items()
        if examples
    ]
    if lines:
        raise UserError(f"the labels in {table} do not fit the images:{''.join(lines)}")


def _read(table: Path) -> list[_Row]:
    try:
        # Spreadsheets put a byte order mark first.
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            columns = reader.fieldnames or []
            if not {"image", "label"} <= set(columns):
                raise UserError(
                    f"the labels in {table}: the first line should be image,label, and "
                    f"it is {','.join(columns)!r}."
                )
            texts = [(reader.line_num, row["image"], row["label"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"the labels in {table} cannot be read ({error}).") from error
    # A short row has None in the columns that it lacks.
    return [_Row(n, (a or "").strip(), (b or "").strip()) for n, a, b in texts]


def _indices(
    rows: Iterable[_Row], images: Sequence[str], folder: Path
) -> Iterable[list[int]]:
    """The images that each row names: none, one, or one that is given repeatedly."""
    by_path, by_name = collections.defaultdict(list), collections.defaultdict(list)
    for index, image in enumerate(images):
        by_path[os.path.abspath(image)].append(index)
        by_name[os.path.basename(image)].append(index)
    for row in rows:
        paths = os.path.abspath(row.image), os.path.abspath(folder / row.image)
        named = by_path.get(paths[0]) or by_path.get(paths[1])
        alone = by_name.get(row.image, [])
        yield named or (alone if len(alone) == 1 else [])
