"""Virtual devices on a machine without accelerator, so that the columns lie apart."""

import os

import jax

from alexnet_jax.config import MeshConfig


def request_cpu_devices(mesh: MeshConfig) -> None:
    """Makes the CPU as many devices as asked for; by default two, on one core one.

    Call it before JAX is first used: devices can't be added later. Accelerators are not
    affected.
    """
    wanted = mesh.cpu_devices or min(2, os.cpu_count() or 1)
    jax.config.update("jax_num_cpu_devices", wanted)
