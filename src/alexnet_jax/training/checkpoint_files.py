"""Checkpoint folders on disk: listing, sealing, finding damage, moving it aside.

Orbax names a folder by its step once it is complete. The seal, `SHA256SUMS`, lists the
checksums of all files; its last line is a comment with the step, the number of files
and a checksum of the list itself, so that a damaged seal is noticed too.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files, peers

SEAL = "SHA256SUMS"
"""Checksums of all files of a folder, written last; for `sha256sum --check`."""

T = TypeVar("T")

REMEDY = "Restore one from a copy, or start over with --run.start-over."


class Lost(UserError):
    """A run has saved checkpoints, and none of them is left intact."""


def steps(directory: Path) -> dict[int, Path]:
    """Folders of complete checkpoints by step; unfinished ones have other names."""
    if not directory.is_dir():
        return {}
    folders = (path for path in directory.iterdir() if path.is_dir())
    return {int(p.name): p for p in folders if _is_step(p.name)}


def _is_step(name: str) -> bool:
    return name.isdecimal() and name == str(int(name))


def _metrics_of(folder: Path) -> dict[str, float]:
    """The evaluation in a checkpoint; empty if it has none.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    path = folder / "metrics" / "metrics"
    if not path.exists():
        return {}
    metrics = json.loads(path.read_text())
    error = metrics.get("top1_error") if isinstance(metrics, dict) else None
    if not isinstance(error, int | float) or not math.isfinite(error):
        raise ValueError(f"top1_error is {error}")
    return metrics


def replaced(directory: Path) -> Path:
    """Where a checkpoint is kept until the one that replaces it is sealed."""
    return directory.with_name("replaced_checkpoint")


def move(folder: Path, place: Path) -> None:
    """Moves a folder into `place`, replacing one of the same name there."""
    place.mkdir(exist_ok=True)
    shutil.rmtree(place / folder.name, ignore_errors=True)
    os.rename(folder, place / folder.name)


def put_back(directory: Path) -> None:
    """Restores a replaced checkpoint unless the new one is complete and intact."""
    for step, folder in steps(replaced(directory)).items():
        if step in steps(directory) and find_fault(directory / str(step)) is None:
            shutil.rmtree(folder)
        else:
            move(folder, directory)


def set_damaged_aside(directory: Path, saved_step: int) -> None:
    """Moves away damaged checkpoints newer than the newest intact one, and older ones
    whose metrics Orbax could not read.

    Args:
        saved_step: a step that is known to have been saved; 0 if none is.

    Raises:
        Lost: no completed checkpoint is intact, though some were saved; nothing is
            moved.
    """
    damaged, intact = {}, None
    for step, folder in sorted(steps(directory).items(), reverse=True):
        fault = find_fault(folder) if intact is None else None
        fault = fault or _broken_metrics(folder)
        if fault is not None:
            damaged[folder] = fault
        elif intact is None:
            intact = step
    # One without a seal was still being written when the run was killed. If there are
    # only such, and nothing was saved before, the run can start over.
    if intact is None and (saved_step or any(is_sealed(folder) for folder in damaged)):
        raise _lost(directory, saved_step, damaged)
    for folder, fault in damaged.items():
        set_aside(folder, fault, intact)
    if intact is not None and intact < saved_step and not damaged:
        _say(f"the checkpoint of step {saved_step} is gone; step {intact} is used")


def _lost(directory: Path, saved_step: int, damaged: dict[Path, str]) -> Lost:
    if not damaged:
        return Lost(
            f"{directory} holds no checkpoint, though step {saved_step} was saved. "
            f"{REMEDY}"
        )
    listed = "\n".join(f"  {folder.name}: {fault}" for folder, fault in damaged.items())
    return Lost(f"all checkpoints in {directory} are damaged:\n{listed}\n{REMEDY}")


def set_aside(folder: Path, fault: str, instead: int | None) -> None:
    """Moves a damaged checkpoint away, and says which one is used instead."""
    place = folder.parent.with_name("damaged_checkpoints")
    move(folder, place)
    warn(folder, f"{fault}; it is in {place} now", instead)


def _broken_metrics(folder: Path) -> str | None:
    """Orbax reads the metrics of all checkpoints, even those that it does not load."""
    try:
        _metrics_of(folder)
    except (OSError, ValueError) as error:
        return f"metrics cannot be read ({error})"
    return None


def warn(folder: Path, fault: str, instead: int | None) -> None:
    used = "" if instead is None else f"; step {instead} is used"
    _say(f"the checkpoint of step {folder.name} is damaged and skipped: {fault}{used}")


def _say(text: str) -> None:
    if not peers.here().is_first:
        return
    print(f"warning: {text}", file=sys.stderr, flush=True)


def candidates(directory: Path, which: str) -> list[Path]:
    """The checkpoints that match `which`, in order of preference."""
    folders = steps(directory.resolve())
    if which == "newest":
        return [folder for _, folder in sorted(folders.items(), reverse=True)]
    if which == "best":
        evaluated = {}
        for folder in folders.values():
            with contextlib.suppress(OSError, ValueError, KeyError):
                evaluated[folder] = _metrics_of(folder)["top1_error"]
        return sorted(evaluated, key=lambda folder: evaluated[folder])
    return [folder for step, folder in folders.items() if str(step) == which]


def first_intact(
    directory: Path, which: str, read: Callable[[Path], T | str]
) -> tuple[Path, T]:
    """The preferred checkpoint that can be read, and its content.

    Args:
        which: "newest", "best" (lowest top-1 error) or a step.
        read: returns the content, or why it cannot be read; then a warning follows.

    Raises:
        UserError: there is none.
    """
    folders = candidates(directory, which)
    for folder, next_best in zip(folders, [*folders[1:], None], strict=False):
        content = read(folder)
        if not isinstance(content, str):
            return folder, content
        warn(folder, content, int(next_best.name) if next_best else None)
    there = ", ".join(map(str, sorted(steps(directory)))) or "none"
    raise UserError(
        f"{directory} has no intact checkpoint {which!r}: there are {there}."
    )


def write_seal(folder: Path) -> None:
    """Seals a complete folder, with everything in it on disk before and after.

    Without this a power cut could leave a sealed name without its files.
    """
    atomic_files.sync_tree(folder)
    lines = [
        f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / SEAL
    ]
    listed = "".join(lines)
    last = _last_line(folder.name, listed)
    atomic_files.write_bytes(folder / SEAL, (listed + last).encode())


def _last_line(step: str, listed: str) -> str:
    digest = hashlib.sha256(listed.encode()).hexdigest()
    return f"# step {step}, {listed.count(chr(10))} files, list {digest}\n"


def is_sealed(folder: Path) -> bool:
    return (folder / SEAL).exists()


def find_fault(folder: Path) -> str | None:
    """Describes the damage to a folder; None if it is sealed and all files match."""
    if not is_sealed(folder):
        return f"it has no {SEAL}: it was not completed"
    try:
        text = (folder / SEAL).read_bytes().decode()
        listed, mark, rest = text.rpartition("# step ")
        if mark + rest != _last_line(folder.name, listed):
            step = rest.partition(",")[0]
            if mark + rest == _last_line(step, listed):
                return f"it is a copy of step {step}"
            return f"{SEAL} is damaged, or of an older version"
        return _find_fault(folder, listed)
    except (OSError, ValueError) as error:
        return f"{SEAL} cannot be read ({error})"


def _find_fault(folder: Path, listed: str) -> str | None:
    """The first file that is missing, extra or altered."""
    pairs = [line.partition("  ") for line in listed.splitlines()]
    digests = {name: digest for digest, _, name in pairs}
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    } - {SEAL}
    if missing := sorted(digests.keys() - there):
        return f"{missing[0]!a} is missing"
    if extra := sorted(there - digests.keys()):
        return f"{extra[0]!a} does not belong to it"
    for name, digest in digests.items():
        path = folder / name
        if path.is_symlink() or not path.is_file() or _digest(path) != digest:
            return f"{name} has changed"
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
