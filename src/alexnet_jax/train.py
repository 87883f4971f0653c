"""The training loop.

On an accelerator the loop never waits for the step that it has just started: values are
fetched one step late (`training.step_log`).
"""

import contextlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from alexnet_jax import augment, columns, train_step
from alexnet_jax.config import Config
from alexnet_jax.data import loader
from alexnet_jax.system import crash_report, devices, peers
from alexnet_jax.system.interruption import Interruption
from alexnet_jax.system.peer_links import Elsewhere
from alexnet_jax.train_step import TrainState
from alexnet_jax.training import (
    agreement,
    checkpoint,
    checkpoint_files,
    manifest,
    run_summary,
    setup,
    workdir,
)
from alexnet_jax.training.epoch_end import EpochEnd

# Streams of random numbers, folded into the key of the run.
_INIT, _STEPS = 0, 1


class Outcome(NamedTuple):
    """How a run ended."""

    step: int
    epochs: float
    """Passes over the training set so far."""
    evaluation: dict[str, float]
    """The last evaluation: loss, top1_error, top5_error (fractions), examples."""
    was_complete: bool
    """True if there was nothing left to do."""


def train_and_evaluate(
    config: Config, directory: Path, interruption: Interruption | None = None
) -> Outcome:
    """Starts or resumes the run in a directory, and finishes it.

    Args:
        interruption: already entered by the caller. None means one is created here.

    Raises:
        UserError: configuration, data or directory do not fit; raised before any work.
        Interrupted: stopped by a signal or the time limit; the state is saved.
        DamagedRecord, Fault: data, disk or memory failed; the message says what is
            saved.
        FloatingPointError: a step gave NaN or infinity; the last checkpoint is kept.
        Exception: anything else, with a note if the state is saved.
    """
    with contextlib.ExitStack() as stack:
        if interruption is None:
            interruption = stack.enter_context(Interruption(config.run.max_minutes))
        stack.enter_context(devices.out_of_memory_explained(config))
        peers.here().begin()
        with peers.here().together():
            run = setup.set_up(config, directory)
            stack.callback(run.lock.release)
        with peers.here().together():
            setup.refuse_differences(run)
        stack.enter_context(crash_report.written_on_abort(directory))
        stack.enter_context(jax.set_mesh(run.mesh))
        # Run after the last checkpoint is written, since callbacks unwind in reverse.
        history = stack.enter_context(manifest.History(directory))
        stack.callback(setattr, interruption, "has_state", False)
        checkpoints = stack.enter_context(_open_checkpoints(run, history))
        with peers.here().together():
            state = _newest_or_new_state(run, checkpoints)
            run, state = setup.start_from_other(run, state, history)
        step = int(state.step)
        result = checkpoints.newest_metrics
        ends_here = step == run.num_steps or run.ends_epoch(step)
        unevaluated = step > 0 and ends_here and not result
        if step >= run.num_steps and not unevaluated:
            return Outcome(step, step / run.steps_per_epoch, result, True)

        with peers.here().together():
            setup.begin(run, history, step)
        run_summary.show(run, state)
        images = setup.placed_statistics(run)
        update = _compile_update(run, state, images)
        with peers.here().together():
            epoch_end = EpochEnd(run, checkpoints, images, interruption, step)
            stack.callback(epoch_end.close)
        batches = stack.enter_context(contextlib.closing(_train_batches(run, step)))
        agreed = agreement.agreed(batches, interruption)
        stack.enter_context(jax.transfer_guard("disallow"))
        try:
            if unevaluated:
                state, result = epoch_end.finish(state, step)
            while step < run.num_steps:
                began = time.perf_counter()
                batch = next(agreed)
                waited = time.perf_counter() - began
                state, values = update(state, batch)
                step += 1
                interruption.has_state = True
                epoch_end.log.add(step, step / run.steps_per_epoch, values, waited)
                if step == run.num_steps or run.ends_epoch(step):
                    state, result = epoch_end.finish(state, step)
                else:
                    epoch_end.save_if_due(state, step)
        except FloatingPointError as why:
            peers.here().tell(why)  # all have the same values, so all are here
            raise  # this state is of no use
        except Exception as why:
            # Otherwise the last checkpoint has the whole state, or the failed step has
            # taken it.
            is_lost = not interruption.has_state or state.step.is_deleted()
            if is_lost or peers.here().have_failed:
                raise
            told = epoch_end.saved(why, state, step)
            if told is why:
                raise
            raise told from why
        return Outcome(step, step / run.steps_per_epoch, result, False)


def _open_checkpoints(
    run: setup.Run, history: manifest.History
) -> checkpoint.Checkpoints:
    """The checkpoints of the run; if they are lost, none, provided that is allowed."""
    opened = partial(
        checkpoint.Checkpoints,
        run.directory / "checkpoints",
        keep=run.config.run.keep_checkpoints,
        on_saved=history.saved,
    )
    try:
        return opened(saved_step=history.saved_step)
    except (checkpoint_files.Lost, Elsewhere):
        if not run.config.run.start_over:
            raise
        peers.here().by_first(partial(workdir.set_aside, run.directory))
        peers.here().begin()  # that failure is over
        history.start_over()
        return opened()


def _newest_or_new_state(
    run: setup.Run, checkpoints: checkpoint.Checkpoints
) -> TrainState:
    abstract = train_step.abstract_train_state(run.config, run.mesh)
    state = checkpoints.restore(abstract, run=run.identity)
    if state is None:
        key = jax.random.fold_in(jax.random.key(run.config.seed), _INIT)
        state = train_step.create_train_state(run.config, run.mesh, key)
    return state


def _compile_update(
    run: setup.Run, state: TrainState, images: augment.ImageStatistics
) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
    """`train_step` of state and batch, compiled. It reuses the memory of its state."""
    everywhere = columns.replicated(run.mesh)
    # Without these the compiler may choose other shardings for the new state, and the
    # second step would compile again.
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    step = partial(
        train_step.train_step, config=run.config, steps_per_epoch=run.steps_per_epoch
    )
    compiled = devices.compiled(
        step,
        donate_argnames="state",
        out_shardings=(shardings, everywhere),
        deterministic=run.config.run.deterministic,
    )
    key = jax.random.fold_in(jax.random.key(run.config.seed), _STEPS)
    key = jax.device_put(key, everywhere)

    def update(state: TrainState, batch: loader.Batch) -> Any:
        return compiled(state, batch, key, images)

    return update


def _train_batches(run: setup.Run, step: int) -> loader.Batches:
    return loader.train_batches(
        run.train_source,
        seed=run.config.seed,
        batch_size=run.config.batch_size,
        start_step=step,
        sharding=columns.batch_sharding(run.mesh),
        num_workers=run.config.run.num_workers,
    )
