"""devices.py: virtual CPU devices, as many as the usable cores, and one program at a
time on them."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax.system import devices, provenance


def test_a_call_returns_when_its_result_is_there():
    """Ahead of the devices XLA can run out of threads: tests/dispatch_ahead.py."""

    def slow(x):
        return jax.lax.fori_loop(0, 300, lambda _, y: jnp.tanh(y @ y), x)

    image = jnp.asarray(np.full((300, 300), 0.01, np.float32))
    compiled, plain = devices.compiled(slow), jax.jit(slow)
    compiled(image), jax.block_until_ready(plain(image))
    assert not plain(image).is_ready(), "too fast a program to show anything"
    assert compiled(image).is_ready()


ON_ONE_CORE = """
import json, os
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
import jax
from alexnet_jax.config import MeshConfig
from alexnet_jax.system import devices, provenance, threads
devices.request_cpu_devices(MeshConfig())
print(json.dumps([jax.device_count(), threads.count(None), provenance.machine()]))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_a_process_that_may_use_one_core():
    """As SLURM or taskset starts it: one device, one thread, and its record says so."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    printed = subprocess.run(
        [sys.executable, "-c", ON_ONE_CORE],
        env=environment | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    device_count, thread_count, machine = json.loads(printed)
    assert (device_count, thread_count, machine["cores"]) == (1, 1, 1)
    assert provenance.machine_in_words(machine).startswith("1 core, ")
