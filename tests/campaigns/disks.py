"""Small disks in memory. They need the right to mount."""

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.campaigns.jobs import Place

_LARGE = 100_000  # KiB


def can_be_mounted(place: Place) -> bool:
    return _can_be_mounted(place.data.parent)


@functools.cache
def _can_be_mounted(folder: Path) -> bool:
    try:
        with small(folder / "try", 100):
            return True
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no disk can be mounted: {error}", flush=True)
        return False


@contextlib.contextmanager
def small(folder: Path, kibibytes: int) -> Iterator[Path]:
    """A file system of its own; what is on it in the end stays in the folder."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", folder)
    left = folder.with_name(f"{folder.name}-left")
    try:
        yield folder
    finally:
        shutil.copytree(folder, left)
        subprocess.run(["umount", "--lazy", os.fspath(folder)], check=True)
        folder.rmdir()
        left.rename(folder)


def grow(folder: Path) -> None:
    _mount("-o", f"remount,size={_LARGE}k", folder)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "ballast").open("wb") as file:
        while True:
            file.write(bytes(2**16))
            file.flush()


def make_room(folder: Path) -> None:
    (folder / "ballast").unlink()


def _mount(*arguments: str | Path) -> None:
    command = ["mount", *map(os.fspath, arguments)]
    subprocess.run(command, check=True, capture_output=True)
