"""Orbax checkpoints: written in the background, sealed with checksums, restored.

A checkpoint holds the whole train state and, as metadata, the identity of the run:
resuming with another configuration or other data is refused. Once Orbax has written a
checkpoint, it is sealed with the checksums of its files (`checkpoint_files`); only then
is it complete. Checksums are verified before anything else is read: a damaged
checkpoint is reported, and the previous one is used.
"""

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from alexnet_jax.errors import Fault
from alexnet_jax.system import peers
from alexnet_jax.train_step import TrainState
from alexnet_jax.training import checkpoint_files, checkpoint_reading, identity

# The annotations of Orbax are narrower than what it accepts.
_ocp: Any = ocp


class Checkpoints:
    """A directory of checkpoints that keeps the last `keep` and the best one.

    Close it, or use it as a context manager: writes run in the background.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keep: int,
        saved_step: int = 0,
        on_saved: Callable[[int], None] = lambda step: None,
    ) -> None:
        """Opens the directory; no other process may be using it.

        Damaged checkpoints are moved to `damaged_checkpoints` beside it.

        Args:
            saved_step: a step that is known to have been saved; 0 if none is.
            on_saved: called with the step once a checkpoint is complete and on disk,
                in another thread.

        Raises:
            Lost: there were checkpoints, and none of them is intact.
        """
        self.directory = directory.resolve()
        self._on_saved = on_saved
        peers.here().by_first(partial(_clear, self.directory, saved_step))
        with _explained(self.directory):
            self._orbax = _open(self.directory, keep)
        self._background = ThreadPoolExecutor(1, thread_name_prefix="seal")
        self._under_way: Future[None] | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:  # a second error would hide the one that explains the first
            with contextlib.suppress(Exception):
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
        run: identity.Identity,
        metrics: dict[str, float] | None,
    ) -> None:
        """Starts writing the state, after waiting for the previous write.

        A checkpoint of the same step, saved without an evaluation, is replaced.

        Args:
            run: what a resumed run must agree with.
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
                custom_metadata=run,
                metrics=metrics,
                force=True,
            )
        self._under_way = self._background.submit(self._seal, step, written)

    def refuse_full_disk(self, state: TrainState) -> None:
        """Raises Fault if a state does not fit, in a run of several processes: Orbax
        would let them wait ten minutes for the one whose write has failed."""
        if peers.here().count == 1:
            return
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state._asdict()))
        with _explained(self.directory):
            if shutil.disk_usage(self.directory).free < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _move_away(self, step: int) -> None:
        folder = self.directory / str(step)
        place = checkpoint_files.replaced(self.directory)
        peers.here().by_first(partial(checkpoint_files.move, folder, place))
        self._orbax.reload()

    def _seal(self, step: int, written: Any) -> None:
        written.result()
        if peers.here().is_first:
            checkpoint_files.write_seal(self.directory / str(step))
            shutil.rmtree(checkpoint_files.replaced(self.directory), ignore_errors=True)
            self._on_saved(step)

    def restore(
        self, abstract: TrainState, *, run: identity.Identity
    ) -> TrainState | None:
        """The newest state, sharded like `abstract`; None if there is no checkpoint.

        One that cannot be loaded is set aside, and the one before it is used.

        Raises:
            UserError: it is of another run or architecture.
            Lost: there were checkpoints, and none can be loaded.
        """
        is_lost = False
        while self.newest_step is not None:
            folder = self.directory / str(self.newest_step)
            loaded = self._load(folder, abstract, run)
            if isinstance(loaded, TrainState):
                return loaded
            self._set_aside(folder, loaded)
            is_lost = True
        if is_lost:
            raise checkpoint_files.Lost(
                f"no checkpoint in {self.directory} can be loaded; they are in "
                f"damaged_checkpoints now. {checkpoint_files.REMEDY}"
            )
        return None

    def _load(
        self, folder: Path, abstract: TrainState, run: identity.Identity
    ) -> TrainState | str:
        """The state in a checkpoint, or why it cannot be read, in all processes.

        They read its description together, and the arrays if that has no fault. Reading
        the arrays waits for the others, so a fault there must end this process.
        """
        here = peers.here()
        with here.together():
            fault = checkpoint_reading.find_misfit(folder, abstract, run)
        if faults := here.share(fault, kind="checkpoint"):
            return next(iter(faults.values()))
        loaded = checkpoint_reading.load(folder, abstract)
        if isinstance(loaded, str) and here.count > 1:
            raise Fault(f"the checkpoint {folder}: {loaded}")
        return loaded

    def _set_aside(self, folder: Path, fault: str) -> None:
        def set_aside() -> None:
            older = checkpoint_files.steps(self.directory).keys() - {int(folder.name)}
            checkpoint_files.set_aside(folder, fault, max(older, default=None))

        peers.here().by_first(set_aside)
        self._orbax.reload()

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
        """Waits for the write in progress.

        Raises:
            Fault: the write failed.
        """
        try:
            self.wait()
        finally:
            self._background.shutdown()
            # Of a failed write it only raises the error again.
            with contextlib.suppress(Exception):
                self._orbax.close()


def _clear(directory: Path, saved_step: int) -> None:
    """Leaves only checkpoints that are intact."""
    checkpoint_files.put_back(directory)
    checkpoint_files.set_damaged_aside(directory, saved_step)


def _open(directory: Path, keep: int) -> Any:
    checkpoint_reading.silence_late_transfers()
    # Errors arrive as exceptions; Orbax's threads and the event loop inside it would
    # log each a dozen times too.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
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


@contextlib.contextmanager
def _explained(directory: Path) -> Iterator[None]:
    """Turns any error while writing into a Fault that says which step is kept."""
    try:
        yield
    except Exception as error:
        kept = max(checkpoint_files.steps(directory), default=None)
        raise Fault(
            f"a checkpoint could not be written to {directory}: "
            f"{checkpoint_reading.short(error)}. "
            + (
                f"That of step {kept} is kept: "
                if kept is not None
                else "There is none before it: "
            )
            + "free some space and run the same command again."
        ) from error
