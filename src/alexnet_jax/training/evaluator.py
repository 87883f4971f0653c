"""Evaluation during training: loss and errors on the centre view of all examples."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from alexnet_jax import augment, columns, metrics, train_step
from alexnet_jax.data import loader
from alexnet_jax.system import devices
from alexnet_jax.training import setup
from alexnet_jax.training.agreement import Agreement


def compile_evaluation(
    run: setup.Run, images: augment.ImageStatistics, agreement: Agreement
) -> Callable[[Any], dict[str, float]]:
    """Returns a function that evaluates parameters on the whole evaluation split."""
    everywhere = columns.replicated(run.mesh)
    step = devices.compiled(
        partial(train_step.eval_step, config=run.config),
        out_shardings=everywhere,
        deterministic=run.config.run.deterministic,
    )
    zero = jax.device_put(
        {name: np.zeros((), np.float32) for name in train_step.SUMS}, everywhere
    )

    def evaluation(params: Any) -> dict[str, float]:
        batches = loader.eval_batches(
            run.eval_source,
            batch_size=run.config.batch_size,
            sharding=columns.batch_sharding(run.mesh),
            num_workers=run.config.run.num_workers,
        )
        with contextlib.closing(batches):
            means = _mean_errors(
                step,
                params,
                agreement.batches(batches),
                images.mean_image,
                zero,
                run.eval_source.num_examples,
                run.eval_source.skip_damaged,
            )
        if not metrics.has_top5(run.config.model.num_classes):
            means.pop("top5_error")
        return means

    return evaluation


def _mean_errors(
    step: Any,
    params: Any,
    batches: Iterator[dict[str, jax.Array]],
    mean_image: jax.Array,
    zero: dict[str, jax.Array],
    num_examples: int,
    skip_damaged: bool,
) -> dict[str, float]:
    """Mean loss and errors over all batches.

    Args:
        step: `eval_step`, compiled.
        zero: sums of zero, already on the devices.
        num_examples: expected number of examples; an upper bound if damaged ones are
            skipped.

    Raises:
        RuntimeError: the number of examples is not the expected one.
    """
    sums = zero
    for batch in batches:
        sums = step(sums, params, batch, mean_image)
    totals = {name: float(np.asarray(v)) for name, v in jax.device_get(sums).items()}
    examples = totals.pop("examples")
    if examples != num_examples and not (skip_damaged and 0 < examples < num_examples):
        raise RuntimeError(f"evaluated {examples:g} examples of {num_examples}")
    means = {name: value / examples for name, value in totals.items()}
    return means | {"examples": int(examples)}
