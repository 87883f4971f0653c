"""The command: python -m tests.campaigns.layouts

Trains the digits with the same seed on several meshes and records by how much the final
parameters differ: from a second run of the same mesh, and from one device. The table in
docs/reliability.md is written from the record.
"""

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from alexnet_jax import presets, train
from alexnet_jax.config import Config, MeshConfig
from tests.campaigns import jobs, records, reliability

_MESHES = ((1, 1), (1, 2), (2, 1), (2, 2))
_STEPS = (1, 2, 23, 113)


def config_of(mesh: tuple[int, int], num_epochs: float, data_dir: str) -> Config:
    data, column = mesh
    return dataclasses.replace(
        presets.DIGITS,
        num_epochs=num_epochs,
        data=dataclasses.replace(presets.DIGITS.data, data_dir=data_dir),
        run=dataclasses.replace(
            presets.DIGITS.run,
            mesh=MeshConfig(data=data, column=column),
            deterministic=True,
        ),
    )


def trained(config: Config, folder: Path) -> np.ndarray:
    """All parameters after the run, as one vector."""
    train.train_and_evaluate(config, folder)
    _, state = jobs.state_of(folder)
    names = sorted(name for name in state if name.startswith(".params"))
    return np.concatenate([state[name].ravel() for name in names])


def measured(folder: Path) -> Iterator[dict[str, Any]]:
    """One row per mesh and length."""
    tfds = str(folder / "tfds")
    start = trained(config_of((1, 1), 1e-9, tfds), folder / "start")
    for steps in _STEPS:
        epochs = (steps - 0.5) * presets.DIGITS.batch_size / 1437
        reference = None
        for mesh in _MESHES:
            config = config_of(mesh, epochs, tfds)
            name = f"{mesh[0]} x {mesh[1]}"
            found, again = (
                trained(config, folder / f"{name}-{steps}-{turn}") for turn in range(2)
            )
            reference = found if reference is None else reference
            difference = found - reference
            change = np.linalg.norm(reference - start)
            yield {
                "mesh (data x column)": name,
                "steps": steps,
                "equal bits in a second run": (
                    "yes" if np.array_equal(found, again) else "no"
                ),
                "largest difference from 1 x 1": f"{np.abs(difference).max():.1e}",
                "relative to the change since the start": (
                    f"{np.linalg.norm(difference) / change:.1e}"
                ),
            }


def main() -> None:
    """Writes the record and the page."""
    jax.config.update("jax_num_cpu_devices", 4)
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measured(Path(folder)))
    records.write(records.FOLDER / "layouts.json", rows)
    reliability.write_page()


if __name__ == "__main__":
    main()
