"""Devices that are not there: XLA compiles for them on a machine without any.

TPUs need the extra `aot-tpu`, an H100 the extra `aot-gpu`.
"""

import importlib.util
import os
from collections.abc import Sequence
from typing import Any

from jax.experimental import topologies

# Of an H100 (SXM, 80 GB), as XLA's GpuTargetConfig.
_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84929347584
  cuda_compute_capability { major: 9 }
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 12 }
runtime_version { major: 13 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""

# What libtpu would otherwise ask the network for.
_NO_TPU_HOST = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
}


def missing_package(target: str) -> str | None:
    """What to install for a target, or None if it is there."""
    module, extra = (
        ("jax_cuda13_plugin", "gpu") if target == "h100" else ("libtpu", "tpu")
    )
    if importlib.util.find_spec(module):
        return None
    return f"--target {target}: there is no {module}; pip install -e '.[aot-{extra}]'"


def devices(target: str, count: int) -> Sequence[Any]:
    """The first `count` devices of a target, "h100" or a TPU's topology, "v5e:2x2"."""
    if target == "h100":
        topology = topologies.get_topology_desc(
            platform="cuda", target_config=_H100, topology=f"1x1x{count}"
        )
    else:
        os.environ.update(_NO_TPU_HOST)
        topology = topologies.get_topology_desc(platform="tpu", topology_name=target)
    return topology.devices[:count]
