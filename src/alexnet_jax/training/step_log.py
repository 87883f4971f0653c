"""Logs the metrics of training steps, one step late.

Fetching the metrics of a step waits for that step; fetching them after the next one has
been dispatched keeps the devices busy. NaN stops the run here, and a loss that stays at
chance causes a warning.
"""

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config
from alexnet_jax.system.progress import Progress
from alexnet_jax.training import metrics_writer
from alexnet_jax.training.agreement import Agreement


class _Step(NamedTuple):
    """A step that has been dispatched."""

    number: int
    epoch: float
    values: dict[str, jax.Array]
    waited: float | None
    """Seconds that it waited for its batch; None for the first step of a process, which
    compiles and is not timed."""
    time: float
    """When it was taken; the clock of its record ends here."""


class StepLog:
    """Collects metrics of steps and writes a record every `log_every_steps` steps."""

    def __init__(
        self,
        writer: metrics_writer.MetricsWriter | metrics_writer.NoMetrics,
        progress: Progress,
        config: Config,
        agreement: Agreement,
    ):
        self._writer = writer
        self._progress = progress
        self._config = config
        self._agreement = agreement
        self._layers = sorted(
            set(CONV_LAYERS + DENSE_LAYERS) - set(config.model.without)
        )
        self._pending: list[_Step] = []
        self._since = time.perf_counter()
        self._compiled = False

    def add(
        self, step: int, epoch: float, values: dict[str, jax.Array], waited: float
    ) -> None:
        """Takes the metrics of a step that has been dispatched.

        The first step of a process includes compilation; the clock starts after it.

        Args:
            waited: seconds that the step waited for its batch.
        """
        timed = waited if self._compiled else None
        if not self._compiled:
            jax.block_until_ready(values)
            self._compiled = True
            self._progress.first_step_done(step)
            self.restart_clock()
        self._progress.step(step)
        self._pending.append(_Step(step, epoch, values, timed, time.perf_counter()))
        every = self._config.run.log_every_steps
        if len(self._pending) > 1 and self._pending[-2].number % every == 0:
            self.flush(leave=1)

    def flush(self, leave: int = 0) -> None:
        """Writes a record of all steps since the last one, except the newest `leave`.

        If the disk is full, all processes stop where they meet next.

        Raises:
            FloatingPointError: a step gave NaN or infinity.
        """
        done = self._pending[: len(self._pending) - leave]
        if not done:
            return
        host = jax.device_get([step.values for step in done])
        for step, values in zip(done, host, strict=True):
            refuse_nan(step.number, values)
        with self._agreement.postponed():
            self._write(done, host, done[-1].time if leave else time.perf_counter())
            self._pending = self._pending[len(done) :]

    def _write(self, done: list[_Step], host: list[Any], until: float) -> None:
        timed = [step for step in done if step.waited is not None]
        elapsed = max(until - self._since, 1e-9)
        mean = _means(host, self._layers)
        record = {
            "kind": "train",
            "step": done[-1].number,
            "epoch": round(done[-1].epoch, 4),
            **mean,
            "learning_rate": float(host[-1]["learning_rate"]),
            "images_per_second": len(timed) * self._config.batch_size / elapsed,
            "data_wait_fraction": min(sum(s.waited or 0 for s in timed) / elapsed, 1.0),
        }
        if damaged := len(self._agreement.damaged):
            record["damaged_records"] = damaged
        self._writer.write(record)
        self._since = until
        self._progress.train(record)
        self._watch(done[-1].number, len(host), mean["loss"])

    def restart_clock(self) -> None:
        """Excludes the time since the last record, spent elsewhere, from the speed."""
        self._since = time.perf_counter()

    def _watch(self, step: int, steps: int, loss: float) -> None:
        """Warns once if the loss is still at chance, ln(classes)."""
        watchdog = self._config.run.watchdog_steps
        chance = math.log(self._config.model.num_classes)
        if step - steps < watchdog <= step and loss > chance - 0.05:
            self._progress.note(
                f"after {step} steps the loss is {loss:.3f}, still at chance "
                f"(ln({self._config.model.num_classes}) = {chance:.3f}). Likely "
                "causes: initial kernels that are too small (--model.conv3.kernel-std; "
                "0.03 in 2012, not the 0.01 of the paper's text), pixels that are not "
                "on 0-255, an unsuitable learning rate, or an unlucky --seed."
            )


def _means(host: list[dict[str, Any]], layers: Sequence[str]) -> dict[str, float]:
    """The mean of each metric over steps; "name/conv1" for one that is per layer."""
    means = {}
    for name in host[0]:
        mean = np.mean([values[name] for values in host], axis=0)
        if mean.ndim == 0:
            means[name] = float(mean)
        else:
            means |= {
                f"{name.removeprefix('layer_')}/{layer}": float(value)
                for layer, value in zip(layers, mean, strict=True)
            }
    return means


def refuse_nan(step: int, values: dict[str, Any]) -> None:
    """Raises FloatingPointError if any metric is NaN or infinite."""
    for name, value in values.items():
        if not np.all(np.isfinite(value)):
            raise FloatingPointError(
                f"{name} is {value} at step {step}; the last checkpoint before it is "
                "kept. A lower --optimizer.learning-rate is the usual remedy."
            )
