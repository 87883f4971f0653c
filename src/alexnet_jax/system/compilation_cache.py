"""Keeps compiled programs in a folder, so that the next start does not compile them.

This is JAX's persistent compilation cache, with a folder by default. A cache that
cannot be read or written never stops a run: its programs are compiled.
"""

import contextlib
import hashlib
import os
import platform
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import jax

from alexnet_jax.system import threads

# JAX's warning about an entry: the program, then the error.
_FAILURE = r"Error (reading|writing) persistent compilation cache entry for '(.*?)': "

# Lines of /proc/cpuinfo: x86, then Arm.
_PROCESSOR = (
    *("vendor_id", "cpu family", "model", "flags"),
    *("CPU implementer", "CPU part", "Features"),
)


def use(place: str = "auto") -> None:
    """Keeps compiled programs; call this before the first one is compiled.

    Args:
        place: "off", "auto" or a folder; see `config.RunConfig.compilation_cache`.
    """
    if place == "off":
        jax.config.update("jax_enable_compilation_cache", False)
        return
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if place != "auto" or not folder:
        chosen = _users_folder() if place == "auto" else Path(place)
        folder = str(chosen / _machine())
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            _warn(folder, error)
            return
        jax.config.update("jax_compilation_cache_dir", folder)
        # By default JAX keeps what took it a second, but a start has many programs.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    _remove_failing_entries(folder)


def _users_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "alexnet_jax" / "xla"


def _machine() -> str:
    """A name for the machines that can share programs: XLA on CPU compiles for one
    processor, and divides the work by the number of threads."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        lines = []
    facts = [line for line in lines if line.split(":")[0].strip() in _PROCESSOR]
    cores = str(threads.usable_cores())
    facts += [platform.machine(), os.environ.get("NPROC", ""), cores]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _remove_failing_entries(folder: str) -> None:
    """Removes entries that fail, instead of JAX's warning about each, from now on.

    JAX writes an entry in place and never replaces one. So a process that is killed, or
    a full disk, leaves a damaged entry, and another process may read one that is not
    complete yet.
    """
    show = warnings.showwarning
    told = False

    def on_warning(message: Any, *where: Any, **more: Any) -> None:
        nonlocal told
        failure = re.match(_FAILURE, str(message))
        if failure is None:
            show(message, *where, **more)
            return
        with contextlib.suppress(OSError):
            for entry in Path(folder).glob(f"{failure[2]}-*-cache"):
                entry.unlink(missing_ok=True)
        if failure[1] == "writing" and not told:
            told = True
            _warn(folder, str(message)[failure.end() :])

    warnings.filterwarnings("always", _FAILURE)
    warnings.showwarning = on_warning


def _warn(folder: str, why: Any) -> None:
    print(
        f"warning: compiled programs cannot be kept in {folder} ({why}). They are "
        "compiled at each start; --run.compilation-cache or JAX_COMPILATION_CACHE_DIR "
        "names another folder.",
        file=sys.stderr,
    )
