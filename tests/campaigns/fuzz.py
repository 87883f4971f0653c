"""Altered configurations, archives, images and checkpoints: tests/hostile.py in
numbers. A single failure ends a row, as the smallest example that fails."""

import os
import shutil
import sys
from collections.abc import Callable

from tests.campaigns import jobs
from tests.campaigns.jobs import Place, Row
from tests.campaigns.kills import whole_run

sys.path.insert(0, os.fspath(jobs.REPOSITORY / "tests"))

import hostile  # noqa: E402


def _row(fault: str, tries: int, check: Callable[[], None]) -> Row:
    try:
        check()
    except Exception as error:
        return Row(fault, tries, 0, f"{type(error).__name__}: {str(error)[:300]}")
    return Row(fault, tries, tries)


def configs(place: Place, tries: int) -> Row:
    return _row(
        "altered config.json", tries, lambda: hostile.configs(tries, place.folder)
    )


def archives(place: Place, tries: int) -> Row:
    return _row("altered archive", tries, lambda: hostile.archives(tries, place.folder))


def pictures(place: Place, tries: int) -> Row:
    del place
    return _row("altered image", tries, lambda: hostile.pictures(tries))


def weight_files(place: Place, tries: int) -> Row:
    return _row(
        "altered file of weights",
        tries,
        lambda: hostile.weight_files(tries, place.folder),
    )


def checkpoints(place: Place, tries: int) -> Row:
    import jax

    from alexnet_jax import columns, train_step
    from alexnet_jax.training import workdir

    whole, _ = whole_run(place)
    config = workdir.read_config(whole)
    mesh = columns.make_mesh(config.run.mesh, config.model.num_columns, jax.devices())
    abstract = train_step.abstract_train_state(config, mesh)
    altered = shutil.copytree(whole / "checkpoints", place.folder / "altered")
    return _row(
        "altered file of a checkpoint",
        tries,
        lambda: hostile.checkpoints(tries, altered, abstract),
    )
