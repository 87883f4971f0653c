"""Trains one of cuda-convnet's CIFAR-10 nets (paper, sections 3.1 and 3.3).

    python -m experiments.cuda_convnet.train --net 80sec --workdir runs/80sec

The same command resumes, with the same bits on CPU, or reports that the run is
complete. For Figure 1 of the paper, run it with each activation at its best rate:

    ... --net 19pct --activation tanh --learning-rate 0.0003 --weight-cost-scale 0
        --crop none --constant-rate --num-epochs 100 --until-train-error 0.25

On CPU two environment variables make a step faster (docs/speed.md): convolutions by
oneDNN, from JAX 0.12 on, and memory in huge pages, on Linux.

    XLA_FLAGS=--xla_cpu_experimental_onednn_custom_call=true
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python -m experiments.cuda_convnet.train ...
"""

import contextlib
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from alexnet_jax import command, config_checks
from alexnet_jax.data import loader
from alexnet_jax.system import compilation_cache, devices, interruption
from alexnet_jax.training import manifest, metrics_writer, workdir
from alexnet_jax.training import record as records
from experiments.cuda_convnet import checkpoint, images, record
from experiments.cuda_convnet.images import Cifar10
from experiments.cuda_convnet.model import CifarNet
from experiments.cuda_convnet.nets import Recipe, weight_costs
from experiments.cuda_convnet.settings import Epoch, Settings, epochs_of, net_of
from experiments.cuda_convnet.step import (
    Rates,
    State,
    create_state,
    epoch_batches,
    evaluate_net,
    means_of,
    no_sums,
    rates_of,
    train_step,
    train_steps,
)

# Random streams, folded into the key of the run.
_INIT, _STEPS = 0, 1
_STEPS_PER_DISPATCH = 50

Advance = Callable[[State, np.ndarray, int, int, Rates], State]


class Run(NamedTuple):
    """The fixed parts of a run."""

    settings: Settings
    net: CifarNet
    recipe: Recipe
    cifar10: Cifar10
    advance: Advance
    """Steps on `batches[start:stop]`, int32 `[batches, batch_size]`: examples."""
    checkpoint: Path
    writer: metrics_writer.MetricsWriter
    history: manifest.History
    interruption: interruption.Interruption


class Outcome(NamedTuple):
    """The result of a run."""

    step: int
    was_complete: bool
    """True if nothing was left to do."""


def train_and_evaluate(
    settings: Settings, directory: Path, cifar10: Cifar10
) -> Outcome:
    """Starts or resumes a run in its directory, up to its end.

    Raises:
        UserError: the directory belongs to a run with other settings.
        Interrupted: a signal stopped the run; the state is saved.
        FloatingPointError: the loss is NaN or infinite; the last checkpoint is kept.
    """
    any_dataclass: Any = settings
    held = workdir.open_workdir(directory, any_dataclass)
    definition = net_of(settings)
    net = CifarNet(layers=definition.layers, activation=settings.activation)
    key = jax.random.key(settings.seed)
    state = create_state(net, definition.recipe, jax.random.fold_in(key, _INIT))
    path = directory / "checkpoint.npz"
    state = checkpoint.restore(path, state)
    epochs = epochs_of(definition.recipe, settings.num_epochs, len(cifar10.train.label))
    step = int(state.step)
    if step >= epochs[-1].stop_step or _is_reached(state, settings):
        return Outcome(step, True)
    with contextlib.ExitStack() as stack:
        stack.callback(held.release)
        history = stack.enter_context(manifest.History(directory))
        workdir.write_config(directory, any_dataclass)
        history.begin(jax.devices()[:1], {}, step)
        writer = metrics_writer.MetricsWriter(directory, resume_step=step)
        stack.callback(writer.close)
        costs = weight_costs(definition.layers, settings.weight_cost_scale)
        run = Run(
            settings=settings,
            net=net,
            recipe=definition.recipe,
            cifar10=cifar10,
            advance=_compile(net, definition.recipe, costs, cifar10, key),
            checkpoint=path,
            writer=writer,
            history=history,
            interruption=stack.enter_context(interruption.Interruption()),
        )
        run.interruption.has_state = True
        return Outcome(_run_epochs(run, state, epochs), False)


def _run_epochs(run: Run, state: State, epochs: list[Epoch]) -> int:
    """Runs the remaining epochs; returns the number of steps done."""
    for epoch in epochs:
        if int(state.step) >= epoch.stop_step:
            continue
        state = _train_epoch(run, state, epoch)
        state = _end_epoch(run, state, epoch, last=epoch is epochs[-1])
        if _is_reached(state, run.settings):
            break
    return int(state.step)


def _is_reached(state: State, settings: Settings) -> bool:
    limit = settings.until_train_error
    return limit is not None and float(state.train_error) <= limit


def _train_epoch(run: Run, state: State, epoch: Epoch) -> State:
    """Trains the rest of an epoch and writes its record: means over the batches, each
    before its update."""
    order = loader.epoch_order(run.settings.seed, epoch.number, epoch.num_examples)
    batches = epoch_batches(order, run.recipe.batch_size)
    first = int(state.step) - epoch.first_step
    rates = rates_of(run.recipe, epoch)
    started = time.perf_counter()
    for start in range(first, len(batches), _STEPS_PER_DISPATCH):
        stop = min(start + _STEPS_PER_DISPATCH, len(batches))
        state = run.advance(state, batches, start, stop, rates)
        # After the last step the evaluation comes first.
        if run.interruption.requested and stop < len(batches):
            _save(run, state)
            raise interruption.Interrupted(f"stopped and saved at step {state.step}")
    means = means_of(state.running)
    means |= {
        "learning_rate": float(rates.kernel),
        "images_per_second": np.sum(batches[first:] >= 0)
        / (time.perf_counter() - started),
    }
    _write(run, "train", epoch, means)
    return state._replace(running=no_sums())


def _end_epoch(run: Run, state: State, epoch: Epoch, last: bool) -> State:
    """Evaluates and saves: the centre view, all views at the end of the run, and the
    training images if their error ends the run."""
    evaluate = partial(
        evaluate_net,
        state.params,
        mean_image=run.cifar10.mean_image,
        net=run.net,
        crop_size=run.recipe.crop_size,
    )
    limit = run.settings.until_train_error
    if limit is not None:
        result = evaluate(run.cifar10.train, num_views=1)
        before = float(state.train_error)
        state = state._replace(train_error=jnp.float32(result["top1_error"]))
        _write(run, "train_end", epoch, result)
        if last := _is_reached(state, run.settings):
            at = crossing(limit, epoch.number, before, result["top1_error"])
            _write(run, "reached", epoch, {"top1_error": limit, "crossing": at})
    for views in run.recipe.views if last else (1,):
        result = evaluate(run.cifar10.test, num_views=views)
        _write(run, "eval", epoch, {"views": views} | result)
    _save(run, state)
    return state


def crossing(limit: float, epochs: int, before: float, after: float) -> float:
    """Epochs, with decimals, until the training error reached the limit.

    Interpolates linearly between its values after `epochs` and `epochs + 1` epochs;
    before the first epoch it is that of guessing.
    """
    return epochs + (before - limit) / (before - after)


def _save(run: Run, state: State) -> None:
    """Saves the state if its loss is finite."""
    _refuse_nan(int(state.step), float(state.running.loss))
    checkpoint.save(run.checkpoint, state)
    run.history.saved(int(state.step))


def _write(run: Run, kind: str, epoch: Epoch, values: dict[str, Any]) -> None:
    _refuse_nan(epoch.stop_step, values.get("loss", 0.0))
    position = {"epoch": epoch.number + 1, "step": epoch.stop_step}
    run.writer.write({"kind": kind} | position | values)
    numbers = "  ".join(f"{name} {value:.5g}" for name, value in values.items())
    print(f"epoch {epoch.number + 1}: {kind:9}  {numbers}", flush=True)


def _refuse_nan(step: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the loss is {loss} at step {step}; the last checkpoint is kept. "
            "Use another --workdir and a lower --learning-rate."
        )


def _compile(
    net: CifarNet,
    recipe: Recipe,
    costs: dict[str, float],
    cifar10: Cifar10,
    key: jax.Array,
) -> Advance:
    """Compiles the steps on the training images.

    On an accelerator all steps run in one dispatch. On CPU each step is a dispatch,
    because XLA runs convolutions in a loop about forty times as slowly there.
    """
    settings = {"net": net, "recipe": recipe, "weight_costs": costs}
    key = jax.random.fold_in(key, _STEPS)
    options = devices.compiler_options()
    step, many_steps = (
        jax.jit(partial(steps, **settings), donate_argnums=0, compiler_options=options)
        for steps in (train_step, train_steps)
    )

    def advance(
        state: State, batches: np.ndarray, start: int, stop: int, rates: Rates
    ) -> State:
        rest = cifar10.mean_image, rates, key
        if jax.default_backend() != "cpu":
            return many_steps(state, cifar10.train, batches, start, stop, *rest)
        for indices in batches[start:stop]:
            state = step(state, cifar10.train, indices, *rest)
        return jax.block_until_ready(state)

    return advance


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the command."""

    workdir: Path
    """Directory of the run: checkpoint and metrics."""
    data_dir: str | None = None
    """The tfds data directory with cifar10. None means tfds's default."""
    record: Path | None = None
    """Writes the record of the finished run to this file (.json) or folder."""
    settings: Annotated[Settings, tyro.conf.arg(name="")]


def _train(options: Options) -> None:
    devices.keep_freed_memory()
    compilation_cache.use()
    config_checks.check_ranges(options)
    if options.record is not None:
        records.check_writable(options.record)
    cifar10 = images.load_cifar10(options.data_dir)
    outcome = train_and_evaluate(options.settings, options.workdir, cifar10)
    if options.record is not None:
        of_run = record.of_run(options.workdir, options.settings)
        records.write(options.record, of_run)
    verb = "the run is complete" if outcome.was_complete else "trained"
    print(f"{options.workdir}: {verb}, {outcome.step} steps")


def main() -> int:
    """Returns the exit code; see `command`."""
    options = command.parse(Options, "experiments.cuda_convnet.train", __doc__ or "")
    kept = "the last checkpoint is kept, and the same command resumes"
    return command.run(lambda: _train(options), stopped=kept)


if __name__ == "__main__":
    sys.exit(main())
