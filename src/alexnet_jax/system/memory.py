"""Memory of devices that does not suffice, said in terms of the configuration."""

import contextlib
from collections.abc import Iterator

import jax

from alexnet_jax.config import Config
from alexnet_jax.errors import Fault


@contextlib.contextmanager
def explained(config: Config) -> Iterator[None]:
    """Turns XLA's report of a device without memory into what can be done about it.

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
