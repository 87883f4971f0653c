"""Exported programs (.jaxexport): the network in testing as `jax.export` stores it.

One function for a batch of any size on CPUs, NVIDIA GPUs and TPUs, with its weights. It
takes float32 views `[batch, crop, crop, 3]`, or with the input's preprocessing uint8
images `[batch, size, size, 3]`, both RGB, and returns all stages by name, as
`model.stages` does. Under `jax.jit` unused stages cost nothing. The program's name,
`fun_name`, is the metadata of our weights file as JSON. The file is a snapshot: JAX
reads it for about half a year, then it has to be written again.
"""

import dataclasses
import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export

from alexnet_jax import augment, model
from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files
from alexnet_jax.weights import network_file
from alexnet_jax.weights.network import Network

SUFFIX = ".jaxexport"
PLATFORMS = ("cpu", "cuda", "tpu")


def write(path: Path, network: Network, *, with_input: bool = False) -> None:
    """Writes the program atomically; see `serialized`."""
    atomic_files.write_bytes(path, serialized(network, with_input=with_input))


def check_flatbuffers(path: Path) -> None:
    """Raises UserError unless jax.export can store programs."""
    if importlib.util.find_spec("flatbuffers") is None:
        raise UserError(
            f"{path}: jax.export stores programs with flatbuffers (pip install "
            "flatbuffers)."
        )


def serialized(network: Network, *, with_input: bool = False) -> bytes:
    """The bytes of the program.

    Args:
        with_input: True for uint8 images as input, and their preprocessing in the
            program.
    """
    config = network.config
    side = config.data.image_size if with_input else config.augment.crop_size
    shape = export.symbolic_shape(f"batch, {side}, {side}, 3")
    dtype = jnp.uint8 if with_input else jnp.float32

    def stages(image: jax.Array) -> dict[str, jax.Array]:
        view = image
        if with_input:
            view = augment.center_view(image, network.mean_image, config.augment)
        return model.stages(config.model, network.params, view, last=network.last)

    program = export.export(jax.jit(stages), platforms=PLATFORMS)
    exported = program(jax.ShapeDtypeStruct(shape, dtype))
    _, metadata = network_file.to_arrays(network)
    return bytes(dataclasses.replace(exported, fun_name=metadata).serialize())
