"""Starts JAX in all processes of a run, on one machine or many.

JAX itself recognises SLURM, Open MPI, Kubernetes and TPU pods. Elsewhere an address,
the number of processes and the index of this one are given, as options or in the
environment.
"""

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import Fault, UserError
from alexnet_jax.system import devices, peer_links, peers, streams
from alexnet_jax.system.peers import Peers
from alexnet_jax.system.process_variables import ADDRESS, COUNT, INDEX


class _Launcher(NamedTuple):
    """What has started the processes."""

    name: str
    count: str
    """The variable of their number."""
    index: str
    """The variable of the index of this one."""


# SLURM last, since the others run within its jobs.
_LAUNCHERS = (
    _Launcher("Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    _Launcher("MPI", "PMI_SIZE", "PMI_RANK"),
    _Launcher("SLURM", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
_SECONDS_TO_MEET = 300
_LAST_PORT = 65535
_ADDRESS_BYTES = 4096  # of the message by which the processes find process 0


def start(
    mesh: MeshConfig,
    where: str = "auto",
    *,
    count: int | None = None,
    index: int | None = None,
    timeout: float = 60.0,
) -> None:
    """Prepares JAX and, if this process is one of several, brings them together.

    Call this before JAX is first used. Standard output of all processes but the first
    is discarded from then on.

    Args:
        mesh: has the number of virtual CPU devices.
        where: "auto", "off" or the address of process 0, HOST:PORT.
        count: number of processes. None means that of the environment.
        index: of this process. None means that of the environment.
        timeout: seconds without a sign of life after which a process is lost.

    Raises:
        UserError: an address, number or index is missing or wrong.
        Fault: the processes did not find each other.
    """
    given = _given(where, count, index)
    several = where != "off" and (given is not None or not _is_alone())
    several = several and _initialize(given)
    devices.request_cpu_devices(mesh, several=several)
    if several:
        with _meeting():
            _join(timeout, given)


def _initialize(given: dict[str, Any] | None) -> bool:
    """Starts `jax.distributed`; False if no address is given and JAX finds none."""
    # It would take SIGTERM for itself; see system/interruption.py.
    jax.config.update("jax_enable_preemption_service", False)
    # Otherwise JAX aborts this process when another one is lost; see system/peers.py.
    jax.config.update("jax_enable_recoverability", True)
    try:
        with _meeting():
            jax.distributed.initialize(
                # Longer than ours: JAX would end with the stack of an abort.
                **(given or {}),
                initialization_timeout=2 * _SECONDS_TO_MEET,
            )
    except ValueError as error:
        if given is None and "coordinator_address" in str(error):
            _refuse_unrecognised_launcher()
            return False
        raise UserError(f"distributed: {error}") from error
    return True


@contextlib.contextmanager
def _meeting() -> Iterator[None]:
    """Raises Fault if the processes do not find each other; ends this one if that takes
    too long."""
    watch = threading.Timer(_SECONDS_TO_MEET, _give_up)
    watch.daemon = True
    watch.start()
    try:
        yield
    except (RuntimeError, OSError) as error:
        why = " ".join(str(error).split())
        raise Fault(f"the processes did not find each other: {why}") from error
    finally:
        watch.cancel()


def _give_up() -> None:
    text = (
        f"error: the processes did not find each other in {_SECONDS_TO_MEET} seconds: "
        "check the address of process 0, and that all of them have started.\n"
    )
    with contextlib.suppress(OSError):
        os.write(2, text.encode())
    os._exit(1)


def _given(where: str, count: int | None, index: int | None) -> dict[str, Any] | None:
    """The arguments of `jax.distributed.initialize`; None if no address is given."""
    address = os.environ.get(ADDRESS) if where == "auto" else where
    if where == "off" or not address:
        if count is not None or index is not None:
            raise UserError(
                "--run.num-processes and --run.process-index need the address of "
                "process 0: --run.distributed HOST:PORT."
            )
        return None
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise UserError(f"distributed {address!r}: auto, off or HOST:PORT.")
    counts, indices = [COUNT], [INDEX]
    if launcher := _launcher():
        counts.append(launcher.count)
        indices.append(launcher.index)
    return {
        "coordinator_address": address,
        "num_processes": _number("--run.num-processes", count, counts),
        "process_id": _number("--run.process-index", index, indices),
        "cluster_detection_method": "deactivate",
    }


def _number(option: str, value: int | None, variables: list[str]) -> int:
    """The option, or else the first of these variables that is set."""
    if value is not None:
        return value
    text = next((os.environ[name] for name in variables if name in os.environ), "")
    if not text.isdecimal():
        raise UserError(
            f"several processes need {option}, or {variables[0]} in the environment"
            + (f" (now {text!r})." if text else ".")
        )
    return int(text)


def _is_alone() -> bool:
    """True if the environment says so, before JAX asks it in vain."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "JOB_COMPLETION_INDEX" not in os.environ
    launcher = _launcher()
    return launcher is not None and os.environ[launcher.count] == "1"


def _launcher() -> _Launcher | None:
    """The launcher that has started this process; None if none has."""
    return next((each for each in _LAUNCHERS if each.count in os.environ), None)


def _refuse_unrecognised_launcher() -> None:
    """Raises UserError if a launcher has started several processes, though JAX has
    found no cluster."""
    launcher = _launcher()
    if launcher is not None and os.environ[launcher.count] != "1":
        index, count = os.environ.get(launcher.index), os.environ[launcher.count]
        this = f"process {index} of {count} of {launcher.name}, which JAX does"
    elif pod := os.environ.get("JOB_COMPLETION_INDEX"):
        this = f"pod {pod} of a job, which JAX without the package kubernetes does"
    else:
        return
    raise UserError(
        f"this is {this} not recognise: give all of them the address of process 0, "
        "--run.distributed HOST:PORT, or off (--distributed of other commands)."
    )


def _join(timeout: float, given: dict[str, Any] | None) -> None:
    """Connects the processes that `jax.distributed` has brought together.

    Args:
        given: the address of process 0, if it was given; all reach it there.
    """
    index, count = jax.process_index(), jax.process_count()
    if count == 1:
        return
    if index == 0:
        with _server(count) as server:
            key = secrets.token_hex(16)
            _told_by_first(
                {
                    "addresses": _addresses(),
                    "port": server.getsockname()[1],
                    "key": key,
                    "name": peer_links.name_of(0),
                }
            )
            links = peer_links.accept(server, key, count, _SECONDS_TO_MEET)
    else:
        told = _told_by_first({})
        if given is not None:
            host, _, _ = given["coordinator_address"].rpartition(":")
            told["addresses"].insert(0, host.strip("[]"))  # brackets: IPv6
        links = [peer_links.connect(index=index, **told)]
        streams.silence(sys.stdout)
    peers.join(Peers(index, count, links, timeout=timeout))


def _server(count: int) -> socket.socket:
    """Listens at a free port, by IPv6 too where there is any."""
    if socket.has_dualstack_ipv6():
        family = socket.AF_INET6
        return socket.create_server(
            ("", 0), family=family, backlog=count, dualstack_ipv6=True
        )
    return socket.create_server(("", 0), backlog=count)


def _told_by_first(content: dict[str, Any]) -> dict[str, Any]:
    """What process 0 gives here, in every process."""
    text = json.dumps(content).encode().ljust(_ADDRESS_BYTES)
    told = multihost_utils.broadcast_one_to_all(np.frombuffer(text, np.uint8))
    return json.loads(np.asarray(told).tobytes())


def _addresses() -> list[str]:
    """Names and addresses of this machine; which of them others reach depends on the
    network."""
    names = [socket.gethostname(), socket.getfqdn()]
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        names += [str(address[0]) for *_, address in found]
    except OSError:
        pass
    return list(dict.fromkeys([*names, "localhost"]))
