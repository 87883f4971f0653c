"""Orbax checkpoints: written in the background, sealed with checksums, restored.

A checkpoint holds the whole train state and, as metadata, everything that the data
order depends on. Resuming with a different data order is refused: it would not be the
same run. Once Orbax has written a checkpoint, it is sealed with the checksums of its
files (`checkpoint_files`); only then is it complete. Checksums are verified before
anything else is read: a damaged checkpoint is reported, and the previous one is used.
"""

import contextlib
import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from alexnet_jax import config_json
from alexnet_jax.errors import Fault, UserError
from alexnet_jax.train_step import TrainState
from alexnet_jax.training import checkpoint_files

# The annotations of Orbax are narrower than what it accepts.
_ocp: Any = ocp


class Checkpoints:
    """A directory of checkpoints that keeps the last `keep` and the best one.

    Close it, or use it as a context manager: writes run in the background.
    """

    def __init__(self, directory: Path, *, keep: int) -> None:
        """Opens the directory; no other process may be using it.

        Damaged checkpoints are moved to `damaged_checkpoints` beside it.

        Raises:
            UserError: there are checkpoints, and all are damaged.
        """
        self.directory = directory.resolve()
        if jax.process_index() == 0:
            checkpoint_files.put_back(self.directory)
            checkpoint_files.set_damaged_aside(self.directory)
        _meet("the checkpoints have been checked")
        with _explained(self.directory):
            self._orbax = _open(self.directory, keep)
        self._background = ThreadPoolExecutor(1, thread_name_prefix="seal")
        self._under_way: Future[None] | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def newest_step(self) -> int | None:
        newest = self._orbax.latest
        return newest.step if newest is not None else None

    @property
    def newest_metrics(self) -> dict[str, float]:
        """The evaluation of the newest checkpoint; empty if it has none."""
        newest = self._orbax.latest
        return dict(newest.metrics or {}) if newest is not None else {}

    def save(
        self,
        state: TrainState,
        step: int,
        data_order: dict[str, Any],
        metrics: dict[str, float] | None,
    ) -> None:
        """Starts writing the state, after waiting for the previous write.

        A checkpoint of the same step, saved without an evaluation, is replaced.

        Args:
            data_order: the values that a resumed run must agree with.
            metrics: the evaluation of this state, with "top1_error". None means that it
                has not been evaluated.

        Raises:
            Fault: this write could not start, or the previous one failed.
        """
        self.wait()
        with _explained(self.directory):
            if self.newest_step == step:
                self._move_away(step)
            # Without `force` Orbax drops a state while it still writes the last one.
            written = self._orbax.save_async(
                step,
                state._asdict(),
                custom_metadata=data_order,
                metrics=metrics,
                force=True,
            )
        self._under_way = self._background.submit(self._seal, step, written)

    def _move_away(self, step: int) -> None:
        if jax.process_index() == 0:
            checkpoint_files.move(
                self.directory / str(step), checkpoint_files.replaced(self.directory)
            )
        _meet("the old checkpoint of this step has been moved")
        self._orbax.reload()

    def _seal(self, step: int, written: Any) -> None:
        written.result()
        if jax.process_index() == 0:
            checkpoint_files.write_seal(self.directory / str(step))
            shutil.rmtree(checkpoint_files.replaced(self.directory), ignore_errors=True)

    def restore(
        self, abstract: TrainState, *, data_order: dict[str, Any]
    ) -> TrainState | None:
        """The newest state, sharded like `abstract`; None if there is no checkpoint.

        Raises:
            UserError: it has a different data order or a different architecture.
        """
        if self.newest_step is None:
            return None
        folder = self.directory / str(self.newest_step)
        _refuse_other_order(folder, data_order)
        return _load(folder, abstract)

    def wait(self) -> None:
        """Waits for the write in progress, if any.

        Raises:
            Fault: the write failed.
        """
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            with _explained(self.directory):
                under_way.result()

    def close(self) -> None:
        try:
            self.wait()
        finally:
            self._background.shutdown()
            self._orbax.close()


def _open(directory: Path, keep: int) -> Any:
    # Errors arrive as exceptions; Orbax's threads would log each a dozen times too.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    policies = _ocp.training.preservation_policies
    best = policies.BestN(
        get_metric_fn=lambda metrics: metrics["top1_error"],
        reverse=True,  # the lowest error is the best
        n=1,
        keep_checkpoints_without_metrics=False,
    )
    return _ocp.training.Checkpointer(
        directory,
        preservation_policy=policies.AnyPreservationPolicy(
            [policies.LatestN(keep), best]
        ),
        cleanup_tmp_directories=True,
    )


def _meet(where: str) -> None:
    """Waits for all other processes, if any, to reach this point."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(where)


@contextlib.contextmanager
def _explained(directory: Path) -> Iterator[None]:
    """Turns any error while writing into a Fault that says which step is kept."""
    try:
        yield
    except Exception as error:
        kept = max(checkpoint_files.steps(directory), default=None)
        raise Fault(
            f"a checkpoint could not be written to {directory}: "
            f"{' '.join(str(error).split())[:300]}. "
            + (
                f"That of step {kept} is kept: "
                if kept is not None
                else "There is none before it: "
            )
            + "free some space and run the same command again."
        ) from error


def _load(folder: Path, abstract: TrainState) -> TrainState:
    _refuse_other_architecture(folder, abstract)
    return TrainState(**_ocp.load(folder, abstract._asdict()))


def _refuse_other_order(folder: Path, data_order: dict[str, Any]) -> None:
    saved = _ocp.metadata(folder).custom_metadata or {}
    for name, value in data_order.items():
        if saved.get(name) != value:
            raise UserError(
                f"the checkpoint of step {folder.name} was made with {name} "
                f"{saved.get(name)}, now it is {value}: the order of the data would "
                "differ. Use another --workdir."
            )


def _refuse_other_architecture(folder: Path, abstract: TrainState) -> None:
    saved = _shapes(_ocp.metadata(folder).metadata)
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
    for folder in checkpoint_files.candidates(directory, which):
        fault = checkpoint_files.find_fault(folder)
        if fault is None:
            return int(folder.name), _load(folder, abstract)
        checkpoint_files.warn(folder, fault)
    steps = ", ".join(map(str, sorted(checkpoint_files.steps(directory))))
    raise UserError(
        f"{directory} has no intact checkpoint {which!r}: there are {steps or 'none'}."
    )
