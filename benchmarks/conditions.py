"""The conditions of a benchmark: date, command, hardware, versions."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from alexnet_jax.system import provenance

_PACKAGES = (
    "jax",
    "jaxlib",
    "jax-cuda12-plugin",
    "jax-cuda13-plugin",
    "nvidia-cudnn-cu12",
    "nvidia-cudnn-cu13",
    "numpy",
    "simplejpeg",
    "opencv-python-headless",
    "pillow",
    "torch",
    "tensorflow",
)


def conditions(script: str) -> dict[str, Any]:
    """Date, command (paths replaced by "..."), hardware, versions."""
    arguments = [word if "/" not in word else "..." for word in sys.argv[1:]]
    return {
        "date": datetime.date.today().isoformat(),
        "command": " ".join(["python", f"benchmarks/{script}", *arguments]),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "hardware": provenance.machine_in_words(provenance.machine()),
        "versions": {"python": platform.python_version()} | installed(_PACKAGES),
    }


def installed(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are there."""
    versions = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def accelerator() -> dict[str, Any]:
    """The device as JAX names it, the version of its platform (CUDA), its driver."""
    import jax

    device = jax.devices()[0]
    return {
        "kind": device.device_kind,
        "platform": device.client.platform_version,
        "driver": _nvidia_driver(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def _nvidia_driver() -> str | None:
    """None where no driver of NVIDIA is installed."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()
    return found[0].strip() if found else None
