"""The command: python -m tests.campaigns.layouts

Trains the digits with the same seed on several meshes and prints by how much the final
parameters differ: from a second run of the same mesh, and from one device.
"""

import dataclasses
import tempfile
from pathlib import Path

import jax
import numpy as np

from alexnet_jax import presets, train
from alexnet_jax.config import Config, MeshConfig
from tests.campaigns import jobs

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


def main() -> None:
    """Prints a table."""
    jax.config.update("jax_num_cpu_devices", 4)
    lines = [
        "| mesh (data x column) | steps | equal bits in a second run | "
        "largest difference from 1x1 | relative to the change since the start |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tfds = str(folder / "tfds")
        start = trained(config_of((1, 1), 1e-9, tfds), folder / "start")
        for steps in _STEPS:
            epochs = (steps - 0.5) * presets.DIGITS.batch_size / 1437
            reference = None
            for mesh in _MESHES:
                config = config_of(mesh, epochs, tfds)
                name = f"{mesh[0]}x{mesh[1]}"
                found, again = (
                    trained(config, folder / f"{name}-{steps}-{turn}")
                    for turn in range(2)
                )
                reference = found if reference is None else reference
                difference = np.abs(found - reference)
                change = np.linalg.norm(found - reference) / np.linalg.norm(
                    reference - start
                )
                lines.append(
                    f"| {name} | {steps} | "
                    f"{'yes' if np.array_equal(found, again) else 'no'} | "
                    f"{difference.max():.1e} | {change:.1e} |"
                )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
