"""Checkpoints by Orbax, behind three functions: open, save, restore.

A checkpoint is the whole train state and, as its metadata, the facts of the run that
the order of the data depends on; with another order a resumed run would not be the same
run.
"""

from pathlib import Path
from typing import Any

from orbax.checkpoint import v1 as ocp

from alexnet_jax.config import UserError
from alexnet_jax.train_state import TrainState

# Orbax annotates its arguments more narrowly than it takes them.
_training: Any = ocp.training
Checkpointer = Any


def open_checkpoints(directory: Path, *, keep: int) -> Checkpointer:
    """Opens a directory of checkpoints that keeps the last `keep` and the best one.

    Close it, or use it as a context manager: writing is asynchronous.
    """
    policies = _training.preservation_policies
    best = policies.BestN(
        get_metric_fn=lambda metrics: metrics["top1_error"],
        reverse=True,  # the lowest error last, which is the best
        n=1,
        keep_checkpoints_without_metrics=False,
    )
    return _training.Checkpointer(
        directory.resolve(),
        preservation_policy=policies.AnyPreservationPolicy(
            [policies.LatestN(keep), best]
        ),
        cleanup_tmp_directories=True,
    )


def save(
    checkpointer: Checkpointer,
    state: TrainState,
    step: int,
    facts: dict[str, Any],
    metrics: dict[str, float] | None,
) -> None:
    """Begins to write the state; a write before it is waited for.

    Args:
        facts: what a resumed run must agree with.
        metrics: the evaluation of this state, with "top1_error", if there was one.
    """
    # By default Orbax leaves a state out while it is still writing the one before.
    checkpointer.save_async(
        step, state._asdict(), custom_metadata=facts, metrics=metrics, force=True
    )


def newest_metrics(checkpointer: Checkpointer) -> dict[str, float]:
    """The evaluation of the newest checkpoint, empty if it was saved without one."""
    newest = checkpointer.latest
    return dict(newest.metrics or {}) if newest is not None else {}


def read_state(
    directory: Path, abstract: TrainState, which: str
) -> tuple[int, TrainState]:
    """Step and state of a checkpoint of a run, which may still be going on.

    Args:
        which: "newest", "best" (lowest top-1 error) or a step.

    Raises:
        UserError: there is no such checkpoint.
    """
    found = []
    if directory.is_dir():  # opening makes it
        with _training.Checkpointer(directory.resolve()) as checkpointer:
            found = list(checkpointer.checkpoints)
            chosen = _choose(found, which)
            if chosen is not None:
                state = checkpointer.load(chosen, abstract._asdict())
                return chosen.step, TrainState(**state)
    steps = ", ".join(str(one.step) for one in found)
    raise UserError(
        f"{directory} has no checkpoint {which!r}: there are {steps or 'none'}."
    )


def _choose(found: list[Any], which: str) -> Any:
    if which == "newest":
        return max(found, key=lambda one: one.step, default=None)
    if which == "best":
        evaluated = [one for one in found if one.metrics]
        return min(evaluated, key=lambda one: one.metrics["top1_error"], default=None)
    return next((one for one in found if str(one.step) == which), None)


def restore(
    checkpointer: Checkpointer, abstract: TrainState, *, facts: dict[str, Any]
) -> TrainState | None:
    """The newest state, placed as `abstract` says; none where there is no checkpoint.

    Raises:
        UserError: the checkpoint was made with other facts.
    """
    if checkpointer.latest is None:
        return None
    saved = checkpointer.metadata(checkpointer.latest).custom_metadata or {}
    for name, value in facts.items():
        if saved.get(name) != value:
            raise UserError(
                f"the checkpoint of step {checkpointer.latest.step} was made with "
                f"{name} {saved.get(name)}, now it is {value}: the order of the data "
                "would not be the same. Use another --workdir."
            )
    return TrainState(**checkpointer.load(checkpointer.latest, abstract._asdict()))
