"""Prepares the machine and runs compiled programs on it."""

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax

from alexnet_jax.config import Config, MeshConfig
from alexnet_jax.errors import Fault
from alexnet_jax.system import threads

# Parameters of mallopt (malloc.h of the GNU C library).
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8

# By default XLA on CPU leaves matrix products and convolutions to a library, which is
# up to three times slower than XLA's own code at the kernel gradient of conv1. So the
# library gets products only. (benchmarks/compare_torch.py --untuned measures without
# this and without the malloc parameters above.)
_OWN_CONVOLUTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT"}

# With this in XLA_FLAGS newer versions leave convolutions to oneDNN: docs/speed.md.
_ONEDNN = "--xla_cpu_experimental_onednn_custom_call=true"


def request_cpu_devices(mesh: MeshConfig, *, several: bool = False) -> None:
    """Splits the CPU into virtual devices, so that the two columns run on separate
    devices without an accelerator too. The default is two devices, or one where only
    one core is usable. Of several processes each has one.

    Call this before JAX is first used: devices can't be added later. Accelerators are
    not affected.
    """
    default = 1 if several else min(2, threads.usable_cores())
    wanted = mesh.cpu_devices or default
    jax.config.update("jax_num_cpu_devices", wanted)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Keeps freed memory in the process instead of returning it (GNU C library only).

    By default malloc returns large blocks to the kernel, which must find and clear them
    again a moment later: 180,000 page faults per step of alexnet2012 on CPU. The price
    is that the process never shrinks. Call this before JAX is first used.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, -1)  # never
    library.mallopt(_ARENA_MAX, 1)


def compiled(
    function: Callable[..., Any], *, deterministic: bool = False, **options: Any
) -> Callable[..., Any]:
    """`jax.jit(function, **options)` with our compiler options; on CPU each call waits
    for its arguments, and for its result.

    All programs of this package that run on a mesh are compiled here. XLA runs the
    programs of all virtual CPU devices on one thread pool. A 33rd program in flight
    blocks its thread until an older one ends, and a collective blocks another thread
    until all devices arrive. Together they can occupy every thread, and XLA aborts the
    process after 40 seconds (tests/dispatch_ahead.py is the smallest such program). A
    program that starts before its arguments are copied occupies the threads that would
    copy them. With one program in flight, and its arguments ready, neither can happen.
    On CPU running ahead gains nothing.
    """
    program = jax.jit(
        function,
        compiler_options=compiler_options(deterministic=deterministic),
        **options,
    )
    if jax.default_backend() != "cpu":
        return program

    def run(*arguments: Any) -> Any:
        return jax.block_until_ready(program(*jax.block_until_ready(arguments)))

    return run


def compiler_options(*, deterministic: bool = False) -> dict[str, bool | str] | None:
    """XLA compiler options for programs that train or evaluate; None for the defaults.

    Args:
        deterministic: otherwise GPUs may add in any order where many threads write to
            one address, and may choose algorithms by measured speed.
    """
    options: dict[str, bool | str] = {}
    if deterministic:
        options["xla_gpu_deterministic_ops"] = True
    if platform() == "gpu":
        # Otherwise XLA keeps some maps of a bfloat16 network in float32.
        options["xla_allow_excess_precision"] = False
    if platform() == "cpu" and _own_convolutions_are_known():
        options |= _OWN_CONVOLUTIONS
    return options or None


def has_onednn() -> bool:
    """True where the user asks for oneDNN's convolutions."""
    return platform() == "cpu" and _ONEDNN in os.environ.get("XLA_FLAGS", "").split()


@functools.cache
def _own_convolutions_are_known() -> bool:
    return _are_known(_OWN_CONVOLUTIONS)


def _are_known(options: dict[str, str]) -> bool:
    """True if this version of XLA has these options; experimental ones come and go."""
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=dict(options))
    except jax.errors.JaxRuntimeError:
        return False
    return True


def platform() -> str:
    """Of the devices that a function is traced for: those of the mesh, or JAX's own;
    "cpu", "gpu" or "tpu"."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return jax.default_backend() if device is None else device.platform


@contextlib.contextmanager
def out_of_memory_explained(config: Config) -> Iterator[None]:
    """Explains an out-of-memory error in terms of the options that help.

    Raises:
        Fault: a device ran out of memory.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        remedies = [
            f"more --microbatches (now {config.microbatches})",
            f"a smaller --batch-size (now {config.batch_size})",
        ]
        if config.model.precision == "float32":
            remedies.append("--model.precision bfloat16 (now float32)")
        remedies.append("more devices (--run.mesh.data)")
        raise Fault(
            f"a device ran out of memory: {_first_line(error)}\n"
            f"These help: {'; '.join(remedies)}. Checkpoints are kept."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
