"""command.py: the same exit codes and one message in every command, whatever happens.

Each command runs in a process of its own with its work replaced by a disturbance, so
that the shell is what is tested; real full disks and kills are in tests/campaigns.
"""

import os
import signal
import subprocess
import sys

import pytest

# Arguments that each command takes, as far as its work needs any.
COMMANDS = {
    "main": ["--workdir", "w"],
    "evaluate": ["--workdir", "w"],
    "predict": ["--workdir", "w", "a.png"],
    "features": ["--workdir", "w", "--list"],
    "visualize": ["kernels", "--workdir", "w"],
    "explain": ["--workdir", "w"],
    "convert": ["a.npz", "b.npz"],
    "prepare": ["--source", "s"],
}

DRIVER = """
import errno, os, signal, sys, time
# Processes in the background ignore it by default.
signal.signal(signal.SIGINT, signal.default_int_handler)
from alexnet_jax import {name} as module
from alexnet_jax.errors import DamagedRecord, Fault, UserError

def disturb(*_):
    what = os.environ["DISTURBANCE"]
    if what.startswith("raise "):
        raise eval(what.removeprefix("raise "))
    if what == "print":
        for _ in range(100_000):
            print("a line of output")
    else:
        os.kill(os.getpid(), getattr(signal, what))
        time.sleep(20)
    return 0

module.run = disturb
sys.argv[1:] = {arguments}
sys.exit(module.main())
"""

# Disturbance, exit code, what is said of it on the standard error.
DISTURBANCES = {
    "mistake": ("raise UserError('--workdir: no')", 2, "error: --workdir: no\n"),
    "names": (
        "raise UserError('no \\x1b[31mclass:\\n  a\\x07b')",
        2,
        "error: no \\x1b[31mclass:\n  a\\x07b\n",
    ),
    "fault": ("raise Fault('device 1 is gone')", 1, "error: device 1 is gone\n"),
    "damaged": ("raise DamagedRecord('record 7')", 1, "error: record 7\n"),
    "diverged": ("raise FloatingPointError('loss nan')", 1, "error: loss nan\n"),
    "full disk": (
        "raise OSError(errno.ENOSPC, 'No space left on device')",
        1,
        "error: [Errno 28] No space left on device; ",
    ),
    "Ctrl-C": ("SIGINT", 130, "\nstopped; "),
    "SIGTERM": ("SIGTERM", 130, "\nstopped; "),
}


def start(name, disturbance, **streams):
    code = DRIVER.format(name=name, arguments=COMMANDS[name])
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"DISTURBANCE": disturbance},
        stderr=subprocess.PIPE,
        text=True,
        **streams,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_as_documented(name):
    """All disturbances in parallel, since each process mostly imports."""
    processes = {
        key: start(name, disturbance, stdout=subprocess.PIPE)
        for key, (disturbance, _, _) in DISTURBANCES.items()
    }
    for key, process in processes.items():
        output, errors = process.communicate(timeout=120)
        code, said = DISTURBANCES[key][1:]
        if name == "main" and key in ("Ctrl-C", "SIGTERM"):
            # Training saves; here there is nothing to save yet.
            code, said = 75, "\nstopped: nothing to save"
        assert (key, process.returncode) == (key, code), errors
        lines = said.strip().count("\n")
        assert errors.startswith(said) and errors.strip().count("\n") == lines, errors
        assert output == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_outputs_that_do_not_take_it(name):
    """A full disk under the output is a fault; a reader that leaves is not."""
    with open("/dev/full", "w") as full:
        disk = start(name, "print", stdout=full)
        reader = start(name, "print", stdout=subprocess.PIPE)
        assert reader.stdout is not None
        reader.stdout.readline()
        reader.stdout.close()
        for process, code, said in ((disk, 1, "error: [Errno 28]"), (reader, 0, "")):
            with process:
                assert process.stderr is not None
                errors = process.stderr.read()
                assert process.wait(120) == code, errors
            assert errors.startswith(said) and errors.count("\n") == bool(said), errors


def test_training_outlives_its_reader(tmp_path, digits_dir):
    """`main | head -1` trains to the end, and saves."""
    command = [sys.executable, "-m", "alexnet_jax.main", "--workdir", tmp_path / "run"]
    process = subprocess.Popen(
        [*command, "--data.data-dir", digits_dir, "--num-epochs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        assert (process.wait(240), errors) == (0, "")
    assert (tmp_path / "run" / "checkpoints" / "45").is_dir()


def test_help_is_quick_and_the_list_is_one_screen():
    result = subprocess.run(
        [sys.executable, "-m", "alexnet_jax"], capture_output=True, text=True
    )
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 88
    for name in COMMANDS:
        assert f"alexnet_jax.{name} " in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_no_jax(name):
    """So it answers within a second or two."""
    code = (
        f"import sys; sys.argv[1:] = ['--help']\n"
        f"from alexnet_jax import {name}\n"
        f"try: {name}.main()\n"
        "finally: sys.exit('jax' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "--" in result.stdout


def test_signals_are_given_back():
    from alexnet_jax import command

    before = signal.getsignal(signal.SIGTERM)
    assert command.run(lambda: None) == 0
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_a_reader_of_the_help_may_leave(name):
    """As in `--help | head -1`: no message, exit code 0; and no warning otherwise."""
    command = [sys.executable, "-m", f"alexnet_jax.{name}", "--help"]
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        left = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(theirs)
    assert (left.returncode, left.stderr) == (0, "")
    stayed = subprocess.run(command, capture_output=True, text=True)
    assert (stayed.returncode, stayed.stderr) == (0, "")
    assert "--help" in stayed.stdout
