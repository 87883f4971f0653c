"""Runs in several processes and in one, and what they leave."""

import json
import os
import subprocess
import sys

import jax
import numpy as np

from alexnet_jax import columns, presets, train_step
from alexnet_jax.config import MeshConfig
from alexnet_jax.training import checkpoint_reading

PYTHON = [sys.executable, "-m"]
ON_1X2 = ["--run.mesh.data", "1", "--run.mesh.column", "2"]
ON_2X1 = ["--run.mesh.data", "2", "--run.mesh.column", "1"]
ON_2X2 = ["--run.mesh.data", "2", "--run.mesh.column", "2"]
TIMES = ("images_per_second", "data_wait_fraction")


def launched(processes, *arguments, module="main"):
    """The command in several processes."""
    name = "experiments.run" if module == "experiments" else f"alexnet_jax.{module}"
    command = [*PYTHON, "alexnet_jax.launch", "--processes", str(processes)]
    return [*command, "--module", name, "--", *map(str, arguments)]


def alone(*arguments, module="main"):
    """The command in one process."""
    return [*PYTHON, f"alexnet_jax.{module}", *map(str, arguments)]


def run(command, code=0, timeout=400, environment=None):
    """The output of a command that must end with a code."""
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | (environment or {}),
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + result.stderr


def changed(folder, code):
    """The environment of processes that run this code first; INDEX is that of each."""
    folder.mkdir()
    index = "import os\nINDEX = int(os.environ.get('JAX_PROCESS_ID', -1))\n"
    (folder / "sitecustomize.py").write_text(index + code)
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def training(folder, digits_dir, epochs=2):
    return ["--workdir", folder, "--num-epochs", epochs, "--data.data-dir", digits_dir]


def final_state(folder):
    """The newest state of a run, on the host."""
    mesh = columns.make_mesh(MeshConfig(), 2, jax.devices())
    abstract = train_step.abstract_train_state(presets.DIGITS, mesh)
    step, state = checkpoint_reading.read_state(
        folder / "checkpoints", abstract, "newest"
    )
    return step, jax.tree.map(np.asarray, state)


def records(folder):
    """The records of a run, without what the clock says."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if name not in TIMES}
        for line in lines
    ]


def assert_same_runs(one, other):
    (step, state), (other_step, other_state) = final_state(one), final_state(other)
    assert step == other_step
    for leaf, other_leaf in zip(
        jax.tree.leaves(state), jax.tree.leaves(other_state), strict=True
    ):
        np.testing.assert_array_equal(leaf, other_leaf)
    assert records(one) == records(other)
