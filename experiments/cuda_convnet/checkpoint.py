"""The checkpoint of a CIFAR-10 run: one npz file, replaced as a whole.

Orbax is not needed: these states are at most about 17 MB, on one device.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from alexnet_jax.system import atomic_files
from experiments.cuda_convnet.step import State


def save(path: Path, state: State) -> None:
    """Writes the whole state or, if interrupted, leaves the old file."""
    with atomic_files.replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **_by_name(jax.device_get(state)))


def restore(path: Path, state: State) -> State:
    """The saved state, or `state` itself if nothing has been saved.

    Args:
        state: a state of the same net, for its structure.
    """
    if not path.exists():
        return state
    with np.load(path) as saved:
        leaves = [saved[name] for name in _by_name(state)]
    return jax.device_put(jax.tree.unflatten(jax.tree.structure(state), leaves))


def _by_name(state: State) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
