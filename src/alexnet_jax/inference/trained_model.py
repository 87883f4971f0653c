"""The Python interface: load a trained network, predict, extract features.

import alexnet_jax
model = alexnet_jax.load("runs/")
model.predict(["photo.jpg"]).top(5)
model.features(["photo.jpg"], ["conv5", "fc7"])["fc7"]  # float32 [1, units]
"""

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from alexnet_jax import columns, train_step, trained
from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.data import class_names, image_statistics, user_images
from alexnet_jax.data.source import Source
from alexnet_jax.data.user_images import Picture
from alexnet_jax.errors import UserError
from alexnet_jax.inference import activations, batched, predictions
from alexnet_jax.inference.batched import Part
from alexnet_jax.training import checkpoint_reading, workdir
from alexnet_jax.weights import network_file
from alexnet_jax.weights.network import Network


class Predictions(NamedTuple):
    """Predictions of a network for images."""

    probabilities: np.ndarray
    """float32 `[images, classes]`; each row sums to 1."""
    class_names: list[str]
    """Readable names, in the order of the classes."""

    def top(self, k: int = 5) -> list[list[tuple[str, float]]]:
        """The most probable classes of each image, (name, probability), best first."""
        return [
            [(self.class_names[i], float(row[i])) for i in top_classes(row, k)]
            for row in self.probabilities
        ]


def top_classes(values: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k highest of `[classes]`, highest first."""
    return np.argsort(-values, kind="stable")[:k]


@dataclass(frozen=True)
class Model:
    """A trained network on the devices of this machine.

    Images are paths, uint8 arrays on 0-255 (RGB `[height, width, 3]` or grey `[height,
    width]`; also one array `[images, height, width, 3]`), or Pillow images. They may
    have any size. Each is preprocessed as in training's evaluation: shorter side scaled
    to `config.data.image_size`, centre crop, mean subtracted.
    """

    network: Network
    mesh: Mesh
    """Of devices; results do not depend on it."""

    def predict(
        self,
        images: Iterable[Picture],
        *,
        views: int = 1,
        batch_size: int | None = None,
    ) -> Predictions:
        """Probabilities of the classes (paper, section 4.1).

        Args:
            views: 1 means the centre; 10 the mean over the corners, the centre and
                their mirror images.
            batch_size: images at a time. None means that of the run.

        Raises:
            UserError: an image cannot be read; names it and the reason.
        """
        log_probabilities = self._apply(
            predictions.log_probabilities, images, batch_size, num_views=views
        )
        num_classes = self.network.config.model.num_classes
        names = class_names.readable(self.network.class_names, num_classes)
        return Predictions(np.exp(log_probabilities), names)

    def features(
        self,
        images: Iterable[Picture],
        layers: str | Sequence[str],
        *,
        batch_size: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Activations of layers, for the centre view.

        Args:
            layers: one name or several: "conv5", "fc7", "conv1.norm", "pool5", ...; see
                `layers`.
            batch_size: images at a time. None means that of the run.

        Returns:
            float32 `[images, height, width, maps]` or `[images, units]`, by the
            requested name; column 0 has the first half of the maps.

        Raises:
            UserError: a layer does not exist, or an image cannot be read.
        """
        stages = self.stages(layers)
        by_stage = self._apply(
            activations.activations, images, batch_size, stages=tuple(stages.values())
        )
        return {name: by_stage[stage] for name, stage in stages.items()}

    def stages(self, layers: str | Sequence[str]) -> dict[str, str]:
        """The stage of each layer, by the requested name; see `features`."""
        names = [layers] if isinstance(layers, str) else layers
        return {name: activations.find(name, self.layers()) for name in names}

    def layers(self) -> dict[str, tuple[int, ...]]:
        """The stages that `features` accepts, in the order of computation, with their
        shapes for one image."""
        return activations.shapes(self.network.config)

    def each_batch(
        self,
        function: Callable[..., Any],
        source: Source,
        *,
        batch_size: int | None = None,
        num_workers: int | None = None,
        **static: Any,
    ) -> Generator[Part, None, None]:
        """`batched.each_batch` of function(params, image, mean_image, config=...,
        **static); without a batch size, by that of the run."""
        config = self.network.config
        return batched.each_batch(
            function,
            self.network,
            source,
            self.mesh,
            batch_size=batch_size or config.batch_size,
            num_workers=num_workers,
            config=config,
            **static,
        )

    def _apply(
        self,
        function: Callable[..., Any],
        images: Iterable[Picture],
        batch_size: int | None,
        **static: Any,
    ) -> Any:
        """The output of a function for all images, concatenated."""
        data = self.network.config.data
        source = user_images.open_pictures(
            _listed(images), data.image_size, squash=data.squash
        )
        parts = self.each_batch(function, source, batch_size=batch_size, **static)
        with contextlib.closing(parts):
            trees = [part.output for part in parts]
        user_images.refuse_problems(source)
        return jax.tree.map(lambda *each: np.concatenate(each), *trees)


def _listed(images: Iterable[Picture]) -> list[Picture]:
    is_one = isinstance(images, str | Path) or hasattr(images, "convert")
    if is_one or getattr(images, "ndim", 4) < 4:
        raise UserError("give a list of images; for one image: [image].")
    listed = list(images)
    if not listed:
        raise UserError("there are no images in the list.")
    return listed


def load(
    path: str | Path, *, checkpoint: str = "newest", mesh: MeshConfig | None = None
) -> Model:
    """Loads a trained network onto the devices of this machine.

    Args:
        path: a run directory, a weights file (.safetensors, from `convert`), or the
            name of a network that comes with the package: "digits", "cifar10".
        checkpoint: "newest", "best" (lowest error in training's evaluations) or a step.
        mesh: how the devices are used. None gives each column a device of its own if
            the number of columns divides that of devices.

    Raises:
        UserError: the run, checkpoint or file does not exist.
    """
    path, name = trained.locate(path), str(path)
    config = read_config(path)
    grid = columns.make_mesh(
        mesh or MeshConfig(), config.model.num_columns, jax.devices()
    )
    with jax.set_mesh(grid):
        read = _of_file if _is_file(path) else _of_run
        network = read(path, checkpoint, grid)
    return Model(dataclasses.replace(network, name=name), grid)


def read_config(path: Path) -> Config:
    """Reads the configuration of a network.

    Args:
        path: see `load`.

    Raises:
        UserError: the configuration is missing or damaged.
    """
    path = trained.locate(path)
    return (
        network_file.read_config(path) if _is_file(path) else workdir.read_config(path)
    )


def _is_file(path: Path) -> bool:
    if path.is_file() and path.suffix != network_file.SUFFIX:
        raise UserError(
            f"{path} is neither a run directory nor a weights file "
            f"({network_file.SUFFIX}): make one with python -m alexnet_jax.convert "
            f"{path} {path.stem}{network_file.SUFFIX}"
        )
    return path.suffix == network_file.SUFFIX and not path.is_dir()


def _of_run(directory: Path, which: str, mesh: Mesh) -> Network:
    config = workdir.read_config(directory)
    abstract = train_step.abstract_train_state(config, mesh)
    step, state = checkpoint_reading.read_state(
        directory / "checkpoints", abstract, which
    )
    statistics = image_statistics.load(directory / image_statistics.FILE)
    return Network(
        name=str(directory),
        config=config,
        step=step,
        params=state.params,
        mean_image=statistics.mean_image,
        class_names=class_names.read(directory),
    ).on_devices(mesh)


def _of_file(path: Path, which: str, mesh: Mesh) -> Network:
    if which != "newest":
        raise UserError(
            f"--checkpoint {which}: {path} holds one network; omit the option."
        )
    return network_file.read(path).on_devices(mesh)
