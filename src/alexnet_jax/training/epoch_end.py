"""The end of an epoch: evaluation, learning-rate schedule, records, checkpoint.

A run that stops early saves the state after its last step. A state saved before its
epoch was evaluated has no metrics; it is evaluated when the run resumes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from alexnet_jax import augment, columns, optimizer
from alexnet_jax.errors import DamagedRecord, Fault
from alexnet_jax.system import devices, peers
from alexnet_jax.system.interruption import Interrupted
from alexnet_jax.system.progress import Progress
from alexnet_jax.train_step import TrainState
from alexnet_jax.training import metrics_writer, setup
from alexnet_jax.training.agreement import Agreement
from alexnet_jax.training.checkpoint import Checkpoints
from alexnet_jax.training.evaluator import compile_evaluation
from alexnet_jax.training.step_log import StepLog, refuse_nan


class EpochEnd:
    """Evaluates, records and saves a run while it trains."""

    def __init__(
        self,
        run: setup.Run,
        checkpoints: Checkpoints,
        images: augment.ImageStatistics,
        agreement: Agreement,
        first_step: int,
    ) -> None:
        self._run = run
        self._checkpoints = checkpoints
        self._agreement = agreement
        self._saved_step = first_step
        self._evaluate = compile_evaluation(run, images, agreement)
        self._count = _compile_plateau(run)
        self._writer = _open_writer(run, checkpoints, first_step)
        split = run.config.data.eval_split
        self._progress = Progress(run.num_steps, first_step, run.steps_per_epoch, split)
        self.log = StepLog(self._writer, self._progress, run.config, agreement)

    def close(self) -> None:
        self._writer.close()
        self._progress.close()

    def finish(
        self, state: TrainState, step: int
    ) -> tuple[TrainState, dict[str, float]]:
        """Evaluates, updates the schedule and saves; returns state and evaluation.

        Raises:
            FloatingPointError: the evaluation gave NaN or infinity.
            Interrupted, Fault: stopped during the evaluation, or its record could not
                be written; nothing is saved yet.
        """
        self.log.flush()
        self._progress.evaluation_begins()
        result = self._evaluate(state.params)
        refuse_nan(step, result)
        epoch = round(step / self._run.steps_per_epoch, 4)
        record = {"kind": "eval", "step": step, "epoch": epoch, "views": 1} | result
        self._progress.evaluation(record)
        state = state._replace(plateau=self._count(state.plateau, result))
        with self._agreement.postponed():
            self._writer.write(record)
        self._agreement.confirm()
        self._save(state, step, result)
        return state, result

    def save_if_due(self, state: TrainState, step: int) -> None:
        """Saves within an epoch if it is time to."""
        if self._agreement.save_is_due:
            self.log.flush()
            self._save(state, step, None)

    def _save(
        self, state: TrainState, step: int, result: dict[str, float] | None
    ) -> None:
        with peers.here().together():
            self._refuse_other_place(step)
            self._writer.sync()
            self._checkpoints.wait()
            self._checkpoints.refuse_full_disk(state)
        self._checkpoints.save(state, step, self._run.identity, result)
        self._saved_step = step
        self._agreement.saved()
        self.log.restart_clock()

    def _refuse_other_place(self, step: int) -> None:
        if not self._run.lock.is_in_place():
            raise Fault(
                f"{self._run.directory} was moved or deleted during the run: the state "
                f"of step {step} cannot be saved there. If you moved it, the same "
                "command with its new place resumes from its newest checkpoint."
            )

    def saved(self, why: Exception, state: TrainState, step: int) -> Exception:
        """Saves the state after `step`; returns `why` with that added to its message.

        Raises:
            FloatingPointError: a step gave NaN or infinity, so nothing is saved.
            Fault: the state could not be saved.
            Exception: `why`, if the other processes could not be told.
        """
        if not peers.here().stop_all(why):
            raise why
        self.log.flush()
        if step != self._saved_step:
            self._save(state, step, None)
        with peers.here().together():  # none leaves before the first has sealed it
            self._checkpoints.wait()
        if isinstance(why, Interrupted):
            return Interrupted(f"{why} and saved at step {step}")
        told = f"The state is saved at step {step}."
        if isinstance(why, DamagedRecord | Fault):
            return type(why)(f"{why} {told}")
        why.add_note(told)
        return why


def _open_writer(
    run: setup.Run, checkpoints: Checkpoints, first_step: int
) -> metrics_writer.MetricsWriter | metrics_writer.NoMetrics:
    if not peers.here().is_first:
        return metrics_writer.NoMetrics()
    return metrics_writer.MetricsWriter(
        run.directory,
        resume_step=first_step,
        evaluated=bool(checkpoints.newest_metrics),
    )


def _compile_plateau(
    run: setup.Run,
) -> Callable[[optimizer.Plateau, dict[str, float]], optimizer.Plateau]:
    """Compiles the update of the plateau schedule by an evaluation."""
    everywhere = columns.replicated(run.mesh)
    count = devices.compiled(
        partial(optimizer.after_evaluation, settings=run.config.optimizer),
        out_shardings=everywhere,
    )

    def after(plateau: optimizer.Plateau, result: dict[str, float]) -> Any:
        error = jax.device_put(np.float32(result["top1_error"]), everywhere)
        return count(plateau, error)

    return after
