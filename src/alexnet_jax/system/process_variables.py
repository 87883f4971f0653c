"""The variables by which the processes of a run on one machine find each other.

Standard library only, so that starting processes costs nothing.
"""

import socket

ADDRESS, COUNT, INDEX = (
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
)
"""HOST:PORT of process 0, number of processes, index of this one."""


def free_address() -> str:
    """An address on this machine for process 0 of a new run."""
    with socket.create_server(("localhost", 0)) as server:
        return f"localhost:{server.getsockname()[1]}"


def of_process(index: int, count: int, address: str) -> dict[str, str]:
    """The environment of one process."""
    return {ADDRESS: address, COUNT: str(count), INDEX: str(index)}
