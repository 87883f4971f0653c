"""The command that trains on a prepared dataset."""

import shlex

from alexnet_jax.data import dataset_fit, tfds_records
from alexnet_jax.presets import PRESETS


def training(name: str, data_dir: str | None) -> str | None:
    """The command for the preset that names the dataset, or has images of its size.

    Options adapt the preset to splits and classes. None if no preset has that size.

    Args:
        data_dir: the data directory, as it was given.
    """
    place = tfds_records.directory_of(data_dir)
    info = tfds_records.find_builder(name, place).info
    facts = dataset_fit.of_dataset(info, "label")
    side = facts.side
    presets = [p for p, config in PRESETS.items() if config.data.name == name]
    presets += [p for p, config in PRESETS.items() if config.data.image_size == side]
    if not presets:
        return None
    preset = presets[0]
    words = ["python", "-m", "alexnet_jax.main", "--preset", preset]
    if PRESETS[preset].data.name != name:
        words += ["--data.name", name]
    if data_dir is not None:
        words += ["--data.data-dir", data_dir]
    words += dataset_fit.fitting_options(PRESETS[preset], facts)
    return shlex.join([*words, "--workdir", f"runs/{name}"])
