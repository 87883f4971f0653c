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

# Parameters of mallopt (malloc.h of the GNU C library).
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8

# On CPU XLA leaves matrix products and convolutions to a library by default, which is
# up to three times as slow as XLA's own at the kernel gradient of conv1. So: products
# only (benchmarks/compare_torch.py --untuned is without this and without the above).
_OWN_CONVOLUTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT"}


def request_cpu_devices(mesh: MeshConfig) -> None:
    """Makes the CPU as many devices as asked for, so that the columns lie apart on a
    machine without accelerator too; by default two, on one core one.

    Call it before JAX is first used: devices can't be added later. Accelerators are not
    affected.
    """
    wanted = mesh.cpu_devices or min(2, os.cpu_count() or 1)
    jax.config.update("jax_num_cpu_devices", wanted)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Lets the process keep the memory that it frees, under the GNU C library.

    Large blocks would go back to the kernel, which has to find and clear them anew a
    moment later: 180,000 page faults in a step of alexnet2012 on CPU. So the process
    stays as large as it once was. Call it before JAX is first used.
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

    All programs of this package that run on a mesh are compiled here. XLA starts a
    program on each virtual CPU device from one pool of threads. A 33rd program in
    flight blocks its thread until an older one ends, and a collective blocks another
    thread until all devices arrive. Together they can take every thread, and XLA
    aborts the process after 40 seconds (tests/dispatch_ahead.py is the smallest such
    program). A program that starts before its arguments are copied holds the threads
    that would copy them. With one program in flight, and its arguments there, neither
    can happen. On CPU running ahead gains nothing.
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


@functools.cache
def compiler_options(*, deterministic: bool = False) -> dict[str, bool | str] | None:
    """What XLA is told beyond its defaults, for programs that train or evaluate.

    Args:
        deterministic: GPUs may otherwise add up in any order where many threads add to
            one place, and choose among algorithms by how long they took.
    """
    options: dict[str, bool | str] = {}
    if deterministic:
        options["xla_gpu_deterministic_ops"] = True
    if jax.default_backend() == "cpu" and _are_known(_OWN_CONVOLUTIONS):
        options |= _OWN_CONVOLUTIONS
    return options or None


def _are_known(options: dict[str, str]) -> bool:
    """Whether this version of XLA has them; experimental ones come and go."""
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=dict(options))
    except jax.errors.JaxRuntimeError:
        return False
    return True


@contextlib.contextmanager
def out_of_memory_explained(config: Config) -> Iterator[None]:
    """Explains an out-of-memory error in terms of the options that help.

    Raises:
        Fault: a device had too little memory.
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
            f"the memory of a device does not suffice: {_first_line(error)}\n"
            f"What helps: {'; '.join(remedies)}. Checkpoints are kept."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
