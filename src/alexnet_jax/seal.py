"""Checksums of all files of a folder, so that damage is found before it is read.

The file `SHA256SUMS` is written last; `sha256sum --check SHA256SUMS` reads it too.
"""

import hashlib
import os
from pathlib import Path

FILE = "SHA256SUMS"


def write(folder: Path) -> None:
    """Seals a folder that is complete."""
    lines = [
        f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    partial = folder / f".{FILE}.partial"
    partial.write_text("".join(lines))
    os.replace(partial, folder / FILE)


def is_sealed(folder: Path) -> bool:
    return (folder / FILE).exists()


def find_fault(folder: Path) -> str | None:
    """What is wrong with a folder: none if it is sealed and each file is as it was."""
    if not is_sealed(folder):
        return f"it has no {FILE}: it was not completed"
    try:
        for line in (folder / FILE).read_text().splitlines():
            digest, _, name = line.partition("  ")
            path = (folder / name).resolve()
            if not path.is_relative_to(folder.resolve()) or not path.is_file():
                return f"{name!r} is missing"
            if _digest(path) != digest:
                return f"{name} has been altered"
    except (OSError, ValueError) as error:
        return f"{FILE} cannot be read ({error})"
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
