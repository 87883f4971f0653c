"""A trained network: parameters, expected preprocessing and provenance."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh

from alexnet_jax import columns
from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config
from alexnet_jax.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Network:
    """A trained network, on the host (NumPy arrays) or on devices (JAX arrays)."""

    name: str
    """What to call it: its run directory or file."""
    config: Config = dataclasses.field(repr=False)
    params: Any = dataclasses.field(repr=False)
    """`{layer: {"kernel", "bias"}}`, float32. The last layers may be missing."""
    mean_image: Any = dataclasses.field(repr=False)
    """float32 `[size, size, 3]`, RGB on 0-255."""
    class_names: list[str] | None = dataclasses.field(default=None, repr=False)
    """In the order of the outputs; None if its dataset had no names."""
    step: int | None = None
    """Training steps; None if unknown."""
    origin: dict[str, str] = dataclasses.field(default_factory=dict)
    """Provenance: format, file, sha256, and where the original differs."""

    @property
    def last(self) -> str:
        """The last layer that it has."""
        # Names sort in the order of the computation.
        return max(self.params)

    @property
    def num_parameters(self) -> int:
        """The number of weights and biases."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))

    def describe_output(self) -> str:
        """ "1,000 classes", or the last layer if that is not the last of AlexNet."""
        if self.last != "fc8":
            return f"layers up to {self.last}"
        return f"{self.config.model.num_classes:,} classes"

    def refuse_missing_layers(self) -> None:
        """Raises UserError, which names the layers between its last one and the
        logits, unless it has them all."""
        missing = [
            layer
            for layer in CONV_LAYERS + DENSE_LAYERS
            if layer > self.last and layer not in self.config.model.without
        ]
        if missing:
            raise UserError(
                f"{self.name} has no {', '.join(missing)}: it gives features of the "
                f"layers up to {self.last} (python -m alexnet_jax.features), but no "
                "predictions."
            )

    def on_devices(self, mesh: Mesh) -> "Network":
        """The same with its arrays on a mesh, each column on its own device."""
        shardings = columns.state_sharding(mesh, self.params)
        return dataclasses.replace(
            self,
            params=jax.device_put(self.params, shardings),
            mean_image=jax.device_put(self.mean_image, columns.replicated(mesh)),
        )

    def on_host(self) -> "Network":
        """The same with NumPy arrays."""
        params, mean_image = jax.device_get((self.params, self.mean_image))
        return dataclasses.replace(self, params=params, mean_image=mean_image)


def describe_input(network: Network) -> str:
    """Describes the preprocessing of an image in words."""
    data, augment = network.config.data, network.config.augment
    side = f"{data.image_size}x{data.image_size}"
    scaled = "all of it" if data.squash else "shorter side, then the centre"
    if data.bilinear:
        scaled += ", by Pillow's bilinear filter"
    pixels = network.mean_image.reshape(-1, 3)
    mean = "the centre of mean_image"
    if (pixels == pixels[:1]).all():
        mean = "({:g}, {:g}, {:g})".format(*pixels[0])
    scale = augment.pixel_scale
    if isinstance(scale, tuple):
        scale = "({:g}, {:g}, {:g})".format(*scale)
    crop = augment.crop_size
    return (
        f"RGB on 0-255, scaled to {side} ({scaled}); the centre {crop}x{crop}; "
        f"minus {mean}; times {scale}; [batch, height, width, 3]"
    )
