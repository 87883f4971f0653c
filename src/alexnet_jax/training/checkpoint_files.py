"""Checkpoint folders on disk: listing, sealing, finding damage, moving it aside.

Orbax names a folder by its step once it is complete.
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
"""Checksums of all files of a folder, written last; for `sha256sum --check`."""


def steps(directory: Path) -> dict[int, Path]:
    """Folders of complete checkpoints by step; unfinished ones have other names."""
    if not directory.is_dir():
        return {}
    return {int(p.name): p for p in directory.iterdir() if p.name.isdecimal()}


def _metrics_of(folder: Path) -> dict[str, float]:
    path = folder / "metrics" / "metrics"
    return json.loads(path.read_text()) if path.exists() else {}


def replaced(directory: Path) -> Path:
    """Where a checkpoint is kept until the one that replaces it is sealed."""
    return directory.with_name("replaced_checkpoint")


def move(folder: Path, place: Path) -> None:
    """Moves a folder into `place`, replacing one of the same name there."""
    place.mkdir(exist_ok=True)
    shutil.rmtree(place / folder.name, ignore_errors=True)
    os.rename(folder, place / folder.name)


def put_back(directory: Path) -> None:
    """Restores a replaced checkpoint if the new one was never completed."""
    for step, folder in steps(replaced(directory)).items():
        if step in steps(directory):
            shutil.rmtree(folder)
        else:
            move(folder, directory)


def set_damaged_aside(directory: Path) -> None:
    """Moves away damaged checkpoints newer than the newest intact one, and older ones
    whose metrics Orbax could not read.

    Raises:
        UserError: all completed checkpoints are damaged; nothing is moved.
    """
    damaged, intact = {}, False
    for _, folder in sorted(steps(directory).items(), reverse=True):
        fault = _broken_metrics(folder) if intact else find_fault(folder)
        if fault is None:
            intact = True
        else:
            damaged[folder] = fault
    # One without a seal was still being written when the run was killed. If there are
    # only such, nothing was ever saved and the run can start over.
    if not intact and any(is_sealed(folder) for folder in damaged):
        listed = "\n".join(f"  {f.name}: {fault}" for f, fault in damaged.items())
        raise UserError(
            f"all checkpoints in {directory} are damaged:\n{listed}\n"
            "Restore them from a copy, or delete them to start over."
        )
    for folder, fault in damaged.items():
        place = directory.with_name("damaged_checkpoints")
        move(folder, place)
        warn(folder, f"{fault}; it is in {place} now")


def _broken_metrics(folder: Path) -> str | None:
    """Orbax reads the metrics of all checkpoints, even those that it does not load."""
    try:
        _metrics_of(folder)
    except (OSError, ValueError) as error:
        return f"metrics cannot be read ({error})"
    return None


def warn(folder: Path, fault: str) -> None:
    print(
        f"warning: the checkpoint of step {folder.name} is damaged and skipped: "
        f"{fault}",
        file=sys.stderr,
        flush=True,
    )


def candidates(directory: Path, which: str) -> list[Path]:
    """The checkpoints that match `which`, in order of preference."""
    folders = steps(directory.resolve())
    if which == "newest":
        return [folder for _, folder in sorted(folders.items(), reverse=True)]
    if which == "best":
        evaluated = {}
        for folder in folders.values():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                evaluated[folder] = float(_metrics_of(folder)["top1_error"])
        return sorted(evaluated, key=lambda folder: evaluated[folder])
    return [folder for step, folder in folders.items() if str(step) == which]


def write_seal(folder: Path) -> None:
    """Writes the checksums of a complete folder."""
    lines = [
        f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    atomic_files.write_bytes(folder / SEAL, "".join(lines).encode())


def is_sealed(folder: Path) -> bool:
    return (folder / SEAL).exists()


def find_fault(folder: Path) -> str | None:
    """Describes the damage to a folder; None if it is sealed and all files match."""
    if not is_sealed(folder):
        return f"it has no {SEAL}: it was not completed"
    try:
        for line in (folder / SEAL).read_text().splitlines():
            digest, _, name = line.partition("  ")
            path = (folder / name).resolve()
            if not path.is_relative_to(folder.resolve()) or not path.is_file():
                return f"{name!r} is missing"
            if _digest(path) != digest:
                return f"{name} has changed"
    except (OSError, ValueError) as error:
        return f"{SEAL} cannot be read ({error})"
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
