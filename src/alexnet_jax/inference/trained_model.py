"""The Python interface: load a trained network, predict, extract features.

import alexnet_jax
model = alexnet_jax.load("runs/")
model.predict("photo.jpg").top(5)
model.features("photo.jpg", ["conv5", "fc7"])["fc7"]  # float32 [1, units]
"""

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from alexnet_jax import columns, trained
from alexnet_jax.config import MeshConfig
from alexnet_jax.data import class_names, picture_lists, user_images
from alexnet_jax.data.picture_lists import Picture
from alexnet_jax.data.source import Source
from alexnet_jax.errors import UserError
from alexnet_jax.inference import activations, batched, predictions
from alexnet_jax.inference.batched import Part
from alexnet_jax.inference.predictions import Predictions as Predictions
from alexnet_jax.system.streams import printable
from alexnet_jax.training import saved_network
from alexnet_jax.weights.network import Network


@dataclass(frozen=True, repr=False)
class Model:
    """A trained network on the devices of this machine.

    An image is a path, uint8 pixels on 0-255 (RGB `[height, width, 3]` or grey
    `[height, width]`), or a Pillow image. Several are a list of those, or one array
    `[images, height, width, 3]`. One image alone is a list of one: results keep the
    leading dimension of images, which is then 1.

    Images may have any size. Each is preprocessed as in training's evaluation: shorter
    side scaled to `config.data.image_size`, centre crop, mean subtracted.
    """

    network: Network
    mesh: Mesh
    """Of devices; results do not depend on it."""

    def __repr__(self) -> str:
        """One line: name, classes, crop, parameters and devices."""
        network = self.network
        crop = network.config.augment.crop_size
        devices = f"{self.mesh.size} device{'s' * (self.mesh.size > 1)}"
        return (
            f'Model("{printable(network.name)}": {network.describe_output()}, '
            f"crop {crop}x{crop}, {network.num_parameters:,} parameters, {devices})"
        )

    def predict(
        self,
        images: Picture | Iterable[Picture],
        *,
        views: Literal[1, 10, "crop"] = 1,
        batch_size: int | None = None,
    ) -> Predictions:
        """Probabilities of the classes, `[images, classes]` (paper, section 4.1).

        Args:
            images: one, or several; see `Model`.
            views: 1 means the centre; 10 the mean over the corners, the centre and
                their mirror images. "crop" means that the images are crops already:
                exactly `config.augment.crop_size` per side, neither scaled nor cropped;
                only the centre of the mean image is subtracted.
            batch_size: images at a time. None means that of the run.

        Raises:
            UserError: an image cannot be read, or is of another size than the crop;
                names it and the reason. Or the network lacks its last layers.
        """
        if views not in (1, 10, "crop"):
            raise UserError(f'views={views!r}: they are 1, 10 or "crop".')
        log_probabilities = self._apply(
            predictions.log_probabilities,
            images,
            batch_size,
            crops=views == "crop",
            num_views=10 if views == 10 else 1,
        )
        num_classes = self.network.config.model.num_classes
        names = class_names.readable(self.network.class_names, num_classes)
        return Predictions(np.exp(log_probabilities), names)

    def features(
        self,
        images: Picture | Iterable[Picture],
        layers: str | Sequence[str],
        *,
        views: Literal[1, "crop"] = 1,
        batch_size: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Activations of layers, for the centre view.

        Args:
            images: one, or several; see `Model`.
            layers: one name or several: "conv5", "fc7", "conv1.norm", "pool5", ...; see
                `layers`.
            views: "crop" means that the images are crops already; see `predict`.
            batch_size: images at a time. None means that of the run.

        Returns:
            float32 `[images, height, width, maps]` or `[images, units]`, by the
            requested name; column 0 has the first half of the maps.

        Raises:
            UserError: a layer does not exist, or an image cannot be read or is of
                another size than the crop.
        """
        stages = self.stages(layers)
        by_stage = self._apply(
            activations.activations,
            images,
            batch_size,
            crops=is_of_crops(views),
            stages=tuple(stages.values()),
        )
        return {name: by_stage[stage] for name, stage in stages.items()}

    def stages(self, layers: str | Sequence[str]) -> dict[str, str]:
        """The stage of each layer, by the requested name; see `features`."""
        names = [layers] if isinstance(layers, str) else layers
        if not names:
            raise UserError("name a layer, for example fc7.")
        known = self.layers()
        return {name: activations.find(name, known) for name in names}

    def layers(self) -> dict[str, tuple[int, ...]]:
        """The stages that `features` accepts, in the order of computation, with their
        shapes for one image. A network without its last layers has fewer."""
        return activations.shapes(self.network.config, self.network.last)

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
        **static); without a batch size, by that of the run.

        Raises:
            UserError: the function is `log_probabilities`, and the network lacks its
                last layers.
        """
        if function is predictions.log_probabilities:
            self.network.refuse_missing_layers()
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
        images: Picture | Iterable[Picture],
        batch_size: int | None,
        *,
        crops: bool,
        **static: Any,
    ) -> Any:
        """The output of a function for all images, concatenated."""
        config = self.network.config
        pictures = picture_lists.listed(images)
        if not pictures:
            raise UserError("there are no images in the list.")
        source = user_images.open_pictures(
            pictures,
            user_images.input_size(config, crops),
            squash=config.data.squash,
            bilinear=config.data.bilinear,
            exact=crops,
        )
        parts = self.each_batch(function, source, batch_size=batch_size, **static)
        with contextlib.closing(parts):
            trees = [part.output for part in parts]
        user_images.refuse_problems(source)
        return jax.tree.map(lambda *each: np.concatenate(each), *trees)


def is_of_crops(views: Literal[1, "crop"]) -> bool:
    """True for the views "crop"; raises UserError unless they are 1 or "crop"."""
    if views not in (1, "crop"):
        raise UserError(
            f'views={views!r}: features are of one view, 1 (the centre) or "crop".'
        )
    return views == "crop"


def load(
    path: str | Path, *, checkpoint: str = "newest", mesh: MeshConfig | None = None
) -> Model:
    """Loads a trained network onto the devices of this machine.

    Args:
        path: a run directory, a weights file (.safetensors, from `convert`), the name
            of a network that comes with the package ("digits", "cifar10"), or one on
            the Hugging Face hub, "hf://owner/name".
        checkpoint: "newest", "best" (lowest error in training's evaluations) or a step.
        mesh: how the devices are used. None gives each column a device of its own if
            the number of columns divides that of devices.

    Raises:
        UserError: the run, checkpoint or file does not exist.
    """
    path, name = trained.locate(path), str(path)
    config = saved_network.read_config(path)
    grid = columns.make_mesh(
        mesh or MeshConfig(), config.model.num_columns, jax.devices()
    )
    with jax.set_mesh(grid):
        network = saved_network.read(path, checkpoint, grid)
    return Model(dataclasses.replace(network, name=name), grid)
