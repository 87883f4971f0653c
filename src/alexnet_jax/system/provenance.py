"""Where a result comes from: commit, versions, machine."""

import functools
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alexnet_jax.system import threads

_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "tensorflow-datasets",
)


def software() -> dict[str, Any]:
    """Commit of the source and versions of Python and packages."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def machine() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "processor": processor(),
        "cores": threads.usable_cores(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def of_result() -> dict[str, Any]:
    """Commit, versions and machine, without the host's name: to keep with a result."""
    return software() | {k: v for k, v in machine().items() if k != "host"}


def machine_in_words(machine: Mapping[str, Any]) -> str:
    """The processor and its usable cores, of what `machine` returned."""
    cores = machine.get("cores")
    return f"{cores} core{'s' * (cores != 1)}, {machine.get('processor')}"


def processor() -> str:
    """The model of the CPU; the architecture where the system does not name it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or platform.machine()


@functools.cache
def commit(digits: int = 40) -> str | None:
    """The commit of the source, with "+" if modified; None outside git."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    command.append(f"--abbrev={digits}")
    source = Path(__file__).parent
    try:
        result = subprocess.run(command, cwd=source, capture_output=True, text=True)
    except OSError:
        return None
    return result.stdout.strip() or None
