"""Several processes start as one run, with the variables of SLURM, Open MPI and others.

The processes are real; the launchers are their variables. JAX itself reads them.
"""

import os
import shutil
import socket
import subprocess
import sys

import pytest

from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import UserError
from alexnet_jax.system import distributed

SCRIPT = """
import sys
from alexnet_jax.config import MeshConfig
from alexnet_jax.system import compilation_cache, distributed, peers
compilation_cache.use()
distributed.start(MeshConfig(), *sys.argv[1:])
import jax
here = peers.here()
print("stdout of", here.index)
said = here.share(10 * here.index)
# In one piece: mpirun joins the outputs of the processes wherever they are cut.
sys.stderr.write(f"{here.index} {here.count} {said} {jax.device_count()}\\n")
sys.exit(peers.finish(0))
"""
LAUNCHERS = ("SLURM_", "OMPI_", "PMI_", "JAX_COORDINATOR", "JAX_NUM_P", "JAX_PROCESS")


def free_port():
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


def in_processes(environments, *arguments, script=SCRIPT):
    """The script in one process for each environment: exit codes, outputs, errors."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHERS)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            env=plain | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for environment in environments
    ]
    outputs = [process.communicate(timeout=240) for process in processes]
    return [
        (process.returncode, *output)
        for process, output in zip(processes, outputs, strict=True)
    ]


def slurm(index, port):
    return {
        "SLURM_JOB_ID": "17",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
        "JAX_COORDINATOR_PORT": str(port),
    }


def open_mpi(index, port):
    return {
        "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://127.0.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": str(index),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(index),
        "JAX_COORDINATOR_PORT": str(port),
    }


def variables(index, port):
    return {
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": "2",
        "JAX_PROCESS_ID": str(index),
    }


@pytest.mark.parametrize("launcher", [slurm, open_mpi, variables])
def test_two_processes_find_each_other(launcher):
    port = free_port()
    ended = in_processes([launcher(index, port) for index in range(2)])
    for index, (code, output, errors) in enumerate(ended):
        assert code == 0, errors
        # One device each, both seen by both.
        assert f"{index} 2 {{0: 0, 1: 10}} 2" in errors
        assert ("stdout of" in output) == (index == 0)


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun here")
def test_open_mpi_itself():
    """Not its variables: the real launcher."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHERS)}
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    result = subprocess.run(
        ["mpirun", "-np", "2", "--oversubscribe", sys.executable, "-c", SCRIPT],
        env=plain | allowed,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    for index in range(2):
        assert f"{index} 2 {{0: 0, 1: 10}} 2" in result.stderr


def test_the_address_as_an_option_and_the_rest_from_a_launcher():
    """As with an MPI that JAX does not recognise."""
    port = free_port()
    environments = [{"PMI_SIZE": "2", "PMI_RANK": str(index)} for index in range(2)]
    ended = in_processes(environments, f"localhost:{port}")
    assert [code for code, *_ in ended] == [0, 0], ended
    assert "0 2 {0: 0, 1: 10} 2" in ended[0][2]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        # One process in an allocation of several, as in an interactive shell.
        slurm(0, 1) | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "8"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
        {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
    ],
    ids=["nothing", "slurm", "kubernetes", "open_mpi"],
)
def test_one_process_is_alone(environment):
    ((code, output, errors),) = in_processes([environment])
    assert code == 0, errors
    assert "stdout of 0" in output
    assert errors.startswith("0 1 {0: 0} ")


KUBERNETES = """
import os, sys, types
from jax._src.clusters import ClusterEnv
from jax._src.clusters.k8s_cluster import K8sCluster

def named(**fields):
    return types.SimpleNamespace(**fields)

def found(**_):
    return named(items=[pod])

owner = named(controller=True, kind="Job")
metadata = named(name="train-1", labels={"job-name": "train"}, owner_references=[owner])
pod = named(metadata=metadata, spec=named(subdomain="pods"))
job = named(metadata=named(name="train", labels={}), spec=named(parallelism=2))
client = named(
    CoreV1Api=lambda: named(list_namespaced_pod=found),
    BatchV1Api=lambda: named(read_namespaced_job=lambda **_: job),
    exceptions=named(ApiException=OSError),
)
config = named(load_incluster_config=lambda: None)
sys.modules["kubernetes"] = named(client=client, config=config)
K8sCluster._namespace = lambda: "default"

detect = ClusterEnv.auto_detect_unset_distributed_params

def detected(*arguments):
    print(*detect(*arguments)[:3], flush=True)
    os._exit(0)

ClusterEnv.auto_detect_unset_distributed_params = detected
from alexnet_jax.config import MeshConfig
from alexnet_jax.system import distributed
import socket
socket.gethostbyname = lambda name: "10.0.0.7"
distributed.start(MeshConfig())
"""


def test_kubernetes_own_names():
    """The package asks the cluster, here a stand-in; JAX finds all three."""
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}
    ((code, output, errors),) = in_processes(
        [pod | {"HOSTNAME": "x"}], script=KUBERNETES
    )
    assert code == 0, errors
    assert output == "train-0.pods:55527 2 1\n"


def test_a_pod_without_the_package_of_kubernetes():
    """Otherwise each pod of the job would train alone."""
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}
    ((code, _, errors),) = in_processes([pod])
    assert code == 1
    assert "this is pod 1 of a job" in errors and "HOST:PORT" in errors


@pytest.fixture
def clean(monkeypatch):
    for name in list(os.environ):
        if name.startswith(LAUNCHERS):
            monkeypatch.delenv(name)
    return monkeypatch


def nothing_found(**_):
    raise ValueError("coordinator_address should be defined.")


def test_a_launcher_that_jax_does_not_recognise(clean):
    """Otherwise each process would train alone."""
    clean.setattr("jax.distributed.initialize", nothing_found)
    clean.setenv("PMI_SIZE", "4")
    clean.setenv("PMI_RANK", "3")
    with pytest.raises(UserError, match="process 3 of 4 of MPI.*--run.distributed"):
        distributed.start(MeshConfig())


@pytest.mark.parametrize(
    ("where", "more", "message"),
    [
        ("auto", {"count": 2}, "need the address of process 0"),
        ("off", {"index": 1}, "need the address of process 0"),
        ("nowhere", {}, "auto, off or HOST:PORT"),
        ("host:port", {}, "auto, off or HOST:PORT"),
        ("host:99999", {}, "auto, off or HOST:PORT"),
        ("host:1", {"index": 0}, "--run.num-processes, or JAX_NUM_PROCESSES"),
        ("host:1", {"count": 2}, "--run.process-index, or JAX_PROCESS_ID"),
    ],
)
def test_mistakes(clean, where, more, message):
    with pytest.raises(UserError, match=message):
        distributed.start(MeshConfig(), where, **more)


def test_a_variable_that_is_no_number(clean):
    clean.setenv("JAX_COORDINATOR_ADDRESS", "localhost:1")
    clean.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(UserError, match="now 'two'"):
        distributed.start(MeshConfig())


def test_the_others_do_not_come():
    """JAX would abort with the stack of its threads."""
    sooner = SCRIPT.replace(
        "compilation_cache.use()", "distributed._SECONDS_TO_MEET = 5"
    )
    for index in range(2):
        environment = variables(index, free_port())
        ((code, _, errors),) = in_processes([environment], script=sooner)
        assert code == 1, errors
        assert "did not find each other in 5 seconds" in errors
        assert "stack" not in errors


def test_an_index_that_does_not_fit():
    ((code, _, errors),) = in_processes([variables(5, free_port())])
    assert code == 1
    assert "process_id < num_processes" in errors
