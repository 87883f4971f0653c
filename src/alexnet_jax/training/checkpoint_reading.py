"""Reads the state in a checkpoint folder, and says why if it cannot be read."""

import functools
import sys
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from alexnet_jax import config_json
from alexnet_jax.errors import UserError
from alexnet_jax.train_step import TrainState
from alexnet_jax.training import checkpoint_files, identity

# The annotations of Orbax are narrower than what it accepts.
_ocp: Any = ocp


@functools.cache
def silence_late_transfers() -> None:
    """Hides "Event loop is closed" of transfers that end after a failed one.

    Orbax closes its event loop as soon as one of many transfers fails. The others still
    report to it, and Python would print a traceback for each.
    """
    hook = sys.unraisablehook

    def quiet(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    sys.unraisablehook = quiet


def short(error: Exception) -> str:
    """The message of an error on one line; of a long one beginning and end, since the
    reason stands last."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:150]} ... {text[-200:]}"


def find_misfit(
    folder: Path, abstract: TrainState, run: identity.Identity | None = None
) -> str | None:
    """Why the description of a checkpoint cannot be read; None if it can.

    Raises:
        UserError: it is of another run than `run`, or of another architecture.
    """
    try:
        metadata = _ocp.metadata(folder)
        if run is not None:
            saved = metadata.custom_metadata or {}
            identity.refuse_other(saved, run, f"the checkpoint {folder}")
        _refuse_other_architecture(folder, metadata.metadata, abstract)
        return None
    except UserError:
        raise
    except Exception as error:
        return _unreadable(error)


def load(folder: Path, abstract: TrainState) -> TrainState | str:
    """The state in a checkpoint that fits, sharded like `abstract`; or why it cannot be
    read. All processes of a run must call it."""
    silence_late_transfers()
    try:
        return TrainState(**_ocp.load(folder, abstract._asdict()))
    except jax.errors.JaxRuntimeError:  # out of memory
        raise
    except Exception as error:
        return _unreadable(error)


def _unreadable(error: Exception) -> str:
    return f"it cannot be loaded ({short(error)})"


def _refuse_other_architecture(folder: Path, tree: Any, abstract: TrainState) -> None:
    saved = _shapes(tree)
    if not saved:
        raise ValueError("it holds no state")
    wanted = _shapes(abstract._asdict())
    lines = config_json.differing_lines(saved, wanted, option="")
    if lines:
        more = f"\n  and {len(lines) - 20} more" if len(lines) > 20 else ""
        raise UserError(
            f"the checkpoint {folder} is of another architecture:\n"
            + "\n".join(lines[:20])
            + more
            + "\nUse the options of that run, or another --workdir."
        )


def _shapes(tree: Any) -> dict[str, str]:
    """Maps the path of each leaf, "params/conv2/kernel", to "float32[5,5,48,256]"."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (
            f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
        )
        for path, leaf in leaves
    }


def read_state(
    directory: Path, abstract: TrainState, which: str
) -> tuple[int, TrainState]:
    """Step and state of a checkpoint of a run, which may still be in progress.

    Args:
        which: "newest", "best" (lowest top-1 error) or a step.

    Raises:
        UserError: there is no such checkpoint, it is damaged, or it has a different
            architecture.
    """

    def read(folder: Path) -> TrainState | str:
        fault = checkpoint_files.find_fault(folder) or find_misfit(folder, abstract)
        return fault or load(folder, abstract)

    folder, state = checkpoint_files.first_intact(directory, which, read)
    return int(folder.name), state
