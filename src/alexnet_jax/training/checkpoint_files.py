"""The folders of checkpoints: which are there, which are damaged, where those go.

A folder has the step for its name once Orbax has completed it.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files

SEAL = "SHA256SUMS"
"""Checksums of all files of a folder, written last; `sha256sum --check` reads it."""


def steps(directory: Path) -> dict[int, Path]:
    """The folders of complete checkpoints; Orbax names those under way otherwise."""
    if not directory.is_dir():
        return {}
    return {int(one.name): one for one in directory.iterdir() if one.name.isdecimal()}


def _metrics_of(folder: Path) -> dict[str, float]:
    path = folder / "metrics" / "metrics"
    return json.loads(path.read_text()) if path.exists() else {}


def replaced(directory: Path) -> Path:
    return directory.with_name("replaced_checkpoint")


def move(folder: Path, place: Path) -> None:
    place.mkdir(exist_ok=True)
    shutil.rmtree(place / folder.name, ignore_errors=True)
    os.rename(folder, place / folder.name)


def put_back(directory: Path) -> None:
    """A checkpoint that was to be replaced, if a kill came before its successor."""
    for step, folder in steps(replaced(directory)).items():
        if step in steps(directory):
            shutil.rmtree(folder)
        else:
            move(folder, directory)


def set_damaged_aside(directory: Path) -> None:
    """Moves away the damaged ones that are newer than the newest intact one, and older
    ones on which Orbax would stumble.

    Raises:
        UserError: none of those that were completed is intact; nothing is moved.
    """
    damaged, intact = {}, False
    for _, folder in sorted(steps(directory).items(), reverse=True):
        fault = _broken_metrics(folder) if intact else find_fault(folder)
        if fault is None:
            intact = True
        else:
            damaged[folder] = fault
    # Without a seal it is one that was being written when the run was killed.
    if not intact and any(is_sealed(folder) for folder in damaged):
        listed = "\n".join(f"  {one.name}: {why}" for one, why in damaged.items())
        raise UserError(
            f"all checkpoints in {directory} are damaged:\n{listed}\n"
            "Restore them from a copy, or delete them to begin anew."
        )
    for folder, fault in damaged.items():
        place = directory.with_name("damaged_checkpoints")
        move(folder, place)
        warn(folder, f"{fault}; it is in {place} now")


def _broken_metrics(folder: Path) -> str | None:
    """Orbax reads these of all checkpoints."""
    try:
        _metrics_of(folder)
    except (OSError, ValueError) as error:
        return f"metrics cannot be read ({error})"
    return None


def warn(folder: Path, fault: str) -> None:
    print(
        f"warning: the checkpoint of step {folder.name} is damaged and passed over: "
        f"{fault}",
        file=sys.stderr,
        flush=True,
    )


def candidates(directory: Path, which: str) -> list[Path]:
    """The checkpoints that may be meant, the first choice first."""
    found = steps(directory.resolve())
    if which == "newest":
        return [folder for _, folder in sorted(found.items(), reverse=True)]
    if which == "best":
        evaluated = {}
        for folder in found.values():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                evaluated[folder] = float(_metrics_of(folder)["top1_error"])
        return sorted(evaluated, key=lambda folder: evaluated[folder])
    return [folder for step, folder in found.items() if str(step) == which]


def write_seal(folder: Path) -> None:
    """Seals a folder that is complete."""
    lines = [
        f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    atomic_files.write_bytes(folder / SEAL, "".join(lines).encode())


def is_sealed(folder: Path) -> bool:
    return (folder / SEAL).exists()


def find_fault(folder: Path) -> str | None:
    """What is wrong with a folder: none if it is sealed and each file is as it was."""
    if not is_sealed(folder):
        return f"it has no {SEAL}: it was not completed"
    try:
        for line in (folder / SEAL).read_text().splitlines():
            digest, _, name = line.partition("  ")
            path = (folder / name).resolve()
            if not path.is_relative_to(folder.resolve()) or not path.is_file():
                return f"{name!r} is missing"
            if _digest(path) != digest:
                return f"{name} has been altered"
    except (OSError, ValueError) as error:
        return f"{SEAL} cannot be read ({error})"
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
