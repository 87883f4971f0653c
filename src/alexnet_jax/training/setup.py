"""Sets up a run: all checks before any work, the data, the device mesh."""

import math
from pathlib import Path
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from alexnet_jax import augment, columns, config_checks
from alexnet_jax.config import Config
from alexnet_jax.data import class_names, dataset_fit, image_statistics
from alexnet_jax.data.source import Source, open_source
from alexnet_jax.system.lock import Lock
from alexnet_jax.training import manifest, workdir
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
    lock: Lock
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
    train_source = open_source(config.data, config.data.train_split)
    eval_source = open_source(config.data, config.data.eval_split)
    identity = identity_of(config, train_source, eval_source)
    lock = workdir.open_workdir(directory, config)
    return Run(config, directory, mesh, train_source, eval_source, identity, lock)


def begin(run: Run, history: manifest.History, first_step: int) -> None:
    """Writes what a run directory says of its run. A run that is complete writes
    nothing, whatever its options say now."""
    workdir.write_config(run.directory, run.config)
    if run.train_source.class_names:
        class_names.write(run.directory, run.train_source.class_names)
    history.begin(run.mesh.devices.flat, dict(run.mesh.shape), first_step)


def placed_statistics(run: Run) -> augment.ImageStatistics:
    """Mean image and principal components of the training set, on every device.

    Computed once per run directory, in a pass over the training set.
    """
    statistics = image_statistics.load_or_compute(
        run.train_source,
        run.directory / "statistics.npz",
        num_workers=run.config.run.num_workers,
    )
    stddev, direction = image_statistics.principal_components(statistics.covariance)
    arrays = statistics.mean_image, stddev, direction
    placed = jax.device_put(arrays, columns.replicated(run.mesh))
    return augment.ImageStatistics(*placed)
