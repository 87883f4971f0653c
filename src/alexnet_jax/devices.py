"""Virtual devices on a machine without accelerator, so that the columns lie apart."""

import os

import jax

from alexnet_jax.config import MeshConfig, RunConfig


def request_cpu_devices(mesh: MeshConfig) -> None:
    """Makes the CPU as many devices as asked for; by default two, on one core one.

    Call it before JAX is first used: devices can't be added later. Accelerators are not
    affected.
    """
    wanted = mesh.cpu_devices or min(2, os.cpu_count() or 1)
    jax.config.update("jax_num_cpu_devices", wanted)


def compiler_options(run: RunConfig) -> dict[str, bool] | None:
    """What XLA is told beyond its defaults.

    Without `deterministic`, GPUs may add up in any order where many threads add to one
    place, and choose among algorithms by how long they took.
    """
    return {"xla_gpu_deterministic_ops": True} if run.deterministic else None
