"""The Python interface: load a trained network, ask it, look inside.

import alexnet_jax
model = alexnet_jax.load("runs/")
model.predict(["photo.jpg"]).best(5)
model.features(["photo.jpg"], ["conv5", "fc7"])["fc7"]  # float32 [1, units]
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from alexnet_jax import columns
from alexnet_jax.config import MeshConfig
from alexnet_jax.data import class_names, user_images
from alexnet_jax.data.photographs import Picture
from alexnet_jax.errors import UserError
from alexnet_jax.inference import activations, batched, predictions, trained
from alexnet_jax.inference.trained import Network


class Predictions(NamedTuple):
    """What a network says of images."""

    probabilities: np.ndarray
    """float32 `[images, classes]`, each row sums to 1."""
    class_names: list[str]
    """For people, in the order of the classes."""

    def best(self, count: int = 5) -> list[list[tuple[str, float]]]:
        """The most probable classes of each image, (name, probability), best first."""
        return [
            [(self.class_names[i], float(row[i])) for i in best_classes(row, count)]
            for row in self.probabilities
        ]


def best_classes(values: np.ndarray, count: int) -> np.ndarray:
    """The places of the highest of `[classes]`, the highest first."""
    return np.argsort(-values, kind="stable")[:count]


@dataclass(frozen=True)
class Model:
    """A trained network on the devices of this machine.

    Images are paths, uint8 arrays of pixels on 0-255 (RGB `[height, width, 3]` or grey
    `[height, width]`; also one array `[images, height, width, 3]`), or images of
    Pillow, of any size. Each is scaled and cropped as in the evaluation of training:
    shorter side to `config.data.image_size`, the centre taken, the mean subtracted.
    """

    network: Network
    mesh: Mesh
    """Of devices; the results don't depend on it."""

    def predict(
        self,
        images: Iterable[Picture],
        *,
        views: int = 1,
        batch_size: int | None = None,
    ) -> Predictions:
        """Probabilities of the classes (paper section 4.1).

        Args:
            views: 1, the centre, or 10: corners, centre and their mirror images,
                averaged.
            batch_size: images at a time; none: that of the run.

        Raises:
            UserError: an image cannot be read; names it and the reason.
        """
        config = self.network.config
        found = self._ask(
            predictions.log_probabilities,
            images,
            batch_size,
            config=config,
            num_views=views,
        )
        names = class_names.readable(self.network.class_names, config.model.num_classes)
        return Predictions(np.exp(found), names)

    def features(
        self,
        images: Iterable[Picture],
        layers: Sequence[str],
        *,
        batch_size: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Activations of layers, of the centre view.

        Args:
            layers: "conv5", "fc7", "conv1.norm", "pool5", ...; see `layers`.

        Returns:
            float32 `[images, height, width, maps]` or `[images, units]` of each layer
            by the name that was asked for; column 0 has the first half of the maps.

        Raises:
            UserError: there is no such layer, or an image cannot be read.
        """
        chosen = tuple(activations.find(name, self.layers()) for name in layers)
        found = self._ask(
            activations.activations,
            images,
            batch_size,
            config=self.network.config,
            chosen=chosen,
        )
        return {name: found[tap] for name, tap in zip(layers, chosen, strict=True)}

    def layers(self) -> dict[str, tuple[int, ...]]:
        """What can be asked of `features`, in the order of the computation: the stages
        of each layer with the shape of one image."""
        return activations.shapes(self.network.config)

    def _ask(
        self,
        function: Any,
        images: Iterable[Picture],
        batch_size: int | None,
        **static: Any,
    ) -> Any:
        """The tree that a function gives, of all images."""
        config = self.network.config
        pictures = user_images.open_pictures(
            _listed(images), config.data.image_size, squash=config.data.squash
        )
        with jax.set_mesh(self.mesh):
            parts = batched.each_batch(
                function,
                self.network,
                pictures.source,
                self.mesh,
                batch_size=batch_size or config.batch_size,
                num_workers=None,
                **static,
            )
            with contextlib.closing(parts):
                found = [part.found for part in parts]
        user_images.refuse_problems(pictures)
        return jax.tree.map(lambda *each: np.concatenate(each), *found)


def _listed(images: Iterable[Picture]) -> list[Picture]:
    one = isinstance(images, str | Path) or hasattr(images, "convert")
    if one or getattr(images, "ndim", 4) < 4:
        raise UserError("give a list of images; of one image: [image].")
    listed = list(images)
    if not listed:
        raise UserError("there are no images in the list.")
    return listed


def load(
    path: str | Path,
    *,
    checkpoint: str = "newest",
    mesh: MeshConfig | None = None,
) -> Model:
    """A trained network on all devices of this machine.

    Args:
        path: a run directory, or a weights file (.safetensors, from `convert`).
        checkpoint: "newest", "best" (lowest error in training's evaluations) or a step.
        mesh: how the devices are used; none: columns on two where there are two.

    Raises:
        UserError: there is no such run, checkpoint or file.
    """
    config = trained.read_config(Path(path))
    devices = jax.devices()
    used = columns.make_mesh(mesh or MeshConfig(), config.model.num_columns, devices)
    with jax.set_mesh(used):
        return Model(trained.load_network(Path(path), checkpoint, used), used)
