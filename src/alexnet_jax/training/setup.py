"""Sets up a run: all checks before any work, the data, the device mesh."""

import math
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from alexnet_jax import augment, columns, config_checks
from alexnet_jax.config import Config
from alexnet_jax.data import class_names, dataset_fit, image_statistics
from alexnet_jax.data.source import Source, open_source
from alexnet_jax.errors import UserError
from alexnet_jax.system import lock, peers
from alexnet_jax.system.lock import Lock, NoLock
from alexnet_jax.train_step import TrainState
from alexnet_jax.training import init_from, manifest, workdir
from alexnet_jax.training.identity import Identity, identity_of


class Run(NamedTuple):
    """A run that has passed all checks: configuration, data, devices and lock."""

    config: Config
    directory: Path
    mesh: Mesh
    train_source: Source
    eval_source: Source
    identity: Identity
    """What a resumed run must agree with; stored in each checkpoint."""
    lock: Lock | NoLock
    """Keeps other processes out of the directory during the run."""

    @property
    def steps_per_epoch(self) -> float:
        return self.train_source.num_examples / self.config.batch_size

    @property
    def num_steps(self) -> int:
        """Steps of the whole run, rounded up."""
        return math.ceil(self.config.num_epochs * self.steps_per_epoch)

    def ends_epoch(self, step: int) -> bool:
        """True if step number `step`, counted from 1, completes an epoch.

        A batch may straddle two epochs, since no example is left out.
        """
        examples = self.train_source.num_examples
        seen = step * self.config.batch_size
        return seen // examples > (seen - self.config.batch_size) // examples


def set_up(config: Config, directory: Path) -> Run:
    """Checks the configuration, opens the data and locks the run directory.

    Raises:
        UserError: a check failed. Nothing has been computed or written yet.
    """
    config_checks.check_config(config)
    mesh = columns.make_mesh(config.run.mesh, config.model.num_columns, jax.devices())
    config_checks.check_batch(config, mesh.shape["data"])
    dataset_fit.check(config)
    init_from.check(config, directory)
    train_source = open_source(config.data, config.data.train_split)
    eval_source = open_source(config.data, config.data.eval_split)
    identity = identity_of(config, train_source, eval_source)
    is_first = peers.here().is_first
    held = workdir.open_workdir(directory, config) if is_first else NoLock()
    return Run(config, directory, mesh, train_source, eval_source, identity, held)


def refuse_differences(run: Run) -> None:
    """Raises UserError in a process whose data or directory differs from process 0."""
    here = peers.here()
    own = [run.identity["data"], lock.holder(run.directory)]
    data, holder = here.share(own, kind="data")[0]
    if run.identity["data"] != data:
        raise UserError(
            f"process {here.index} has other data than process 0: give all of them the "
            "same dataset."
        )
    if lock.holder(run.directory) != holder:
        raise UserError(
            f"process {here.index} does not see {run.directory} of process 0: use a "
            "directory that all of them share."
        )


def start_from_other(
    run: Run, state: TrainState, history: manifest.History
) -> tuple[Run, TrainState]:
    """Takes over the parameters of `--init-from`, unless the state has made steps: then
    it has them. The identity of the run, which checkpoints hold, tells of the start."""
    if run.config.init_from is None:
        return run, state
    start = history.init_from
    if int(state.step) == 0:
        names = run.train_source.class_names
        params, start = init_from.taken_over(run.config, state.params, names, run.mesh)
        state = state._replace(params=params)
    return run._replace(identity=run.identity | {"init_from": start}), state


def begin(run: Run, history: manifest.History, first_step: int) -> None:
    """Writes what a run directory says of its run. A run that is complete writes
    nothing, whatever its options say now."""
    if not peers.here().is_first:
        return
    workdir.write_config(run.directory, run.config)
    if run.train_source.class_names:
        class_names.write(run.directory, run.train_source.class_names)
    start = run.identity.get("init_from")
    history.begin(run.mesh.devices.flat, dict(run.mesh.shape), first_step, start)


def placed_statistics(run: Run) -> augment.ImageStatistics:
    """Mean image and principal components of the training set, on every device.

    Computed once per run directory, in a pass over the training set by process 0.
    """
    read = partial(
        image_statistics.load_or_compute,
        run.train_source,
        run.directory / image_statistics.FILE,
        num_workers=run.config.run.num_workers,
    )
    statistics = peers.here().by_first(read) or read()
    stddev, direction = image_statistics.principal_components(statistics.covariance)
    arrays = statistics.mean_image, stddev, direction
    placed = jax.device_put(arrays, columns.replicated(run.mesh))
    return augment.ImageStatistics(*placed)
