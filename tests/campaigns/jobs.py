"""The small job that campaigns disturb, and what must be equal at its end."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

REPOSITORY = Path(__file__).parents[2]
# Eight steps an epoch, five epochs, a checkpoint after each, on two column devices.
TRAIN = (
    *("--data.train-split", "train[:512]", "--num-epochs", "5"),
    *("--run.log-every-steps", "3", "--run.mesh.data", "1", "--run.mesh.column", "2"),
)
NUM_STEPS = 40
_PATIENCE = 300  # seconds after which a job counts as hanging


class Row(NamedTuple):
    """What a campaign came to."""

    fault: str
    tries: int
    survived: int
    remark: str = ""

    @property
    def lost(self) -> int:
        return self.tries - self.survived


class Place(NamedTuple):
    """Where a campaign works."""

    folder: Path
    """For everything that it writes."""
    data: Path
    """The tfds data directory of all campaigns."""
    out: Path
    """The folder of the results, which outlives the process."""


def make_tests_importable() -> None:
    """Campaigns share jobs and oracles with the tests."""
    tests = REPOSITORY / "tests"
    sys.path[:0] = [str(tests), str(tests / "preparation")]


def environment() -> dict[str, str]:
    """Compiled programs are kept, since most of a short job is compilation."""
    cache = Path(tempfile.gettempdir()) / f"campaigns-cache-{os.getuid()}"
    path = [str(REPOSITORY / "src"), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
    }


def start(module: str, *arguments: Any, **options: Any) -> subprocess.Popen[str]:
    """One of our commands in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=REPOSITORY,
        **options,
    )


def start_training(place: Place, workdir: Path, *more: Any) -> subprocess.Popen[str]:
    options = ("--workdir", workdir, "--data.data-dir", place.data, *TRAIN, *more)
    return start("alexnet_jax.main", *options)


def finish(
    process: subprocess.Popen[str], patience: float = _PATIENCE
) -> tuple[int, str]:
    """Exit code and all that was said.

    Raises:
        subprocess.TimeoutExpired: after `patience` seconds.
    """
    output, errors = process.communicate(timeout=patience)
    return process.returncode, output + errors


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> bool:
    """Looks again and again; false if the process ended before."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if process.poll() is not None:
            return False
        if time.monotonic() > deadline:
            raise TimeoutError("the job hangs")
        time.sleep(0.0005)
    return True


def final_state(workdir: Path) -> dict[str, np.ndarray]:
    """All leaves of the newest checkpoint, by name."""
    import jax

    from alexnet_jax import columns, train_step
    from alexnet_jax.training import checkpoint
    from alexnet_jax.training import workdir as workdirs

    config = workdirs.read_config(workdir)
    mesh = columns.make_mesh(config.run.mesh, config.model.num_columns, jax.devices())
    abstract = train_step.abstract_train_state(config, mesh)
    _, state = checkpoint.read_state(workdir / "checkpoints", abstract, "newest")
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def differences(whole: Path, parts: Path) -> list[str]:
    """What a disturbed run has otherwise than the undisturbed one: leaves of the final
    state, bit for bit; evaluations; steps of the log."""
    expected, found = final_state(whole), final_state(parts)
    differing = [
        name
        for name in sorted(expected.keys() | found.keys())
        if name not in found
        or name not in expected
        or expected[name].tobytes() != found[name].tobytes()
    ]
    records = [
        [json.loads(line) for line in (one / "metrics.jsonl").read_text().splitlines()]
        for one in (whole, parts)
    ]
    evaluations = [[r for r in run if r["kind"] == "eval"] for run in records]
    if evaluations[0] != evaluations[1]:
        differing.append("evaluations")
    steps = [r["step"] for r in records[1] if r["kind"] == "train"]
    if steps != sorted(set(steps)) or steps[-1] != records[0][-1]["step"]:
        differing.append(f"steps of the log: {steps}")
    return differing
