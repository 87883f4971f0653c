"""One process at a time; a dead process holds no lock."""

import os
import subprocess
import sys

import pytest

from alexnet_jax.system import lock

HOLD = (
    "import sys, pathlib\n"
    "from alexnet_jax.system.lock import Lock\n"
    "held = Lock(pathlib.Path(sys.argv[1]))\n"
    "print('held', flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture
def other(tmp_path):
    """Another process that holds the directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_refused_with_the_name_of_the_first(tmp_path, other):
    named = rf"process {other.pid} on {os.uname().nodename}"
    with pytest.raises(lock.Taken, match=named):
        lock.Lock(tmp_path)


def test_the_lock_of_a_dead_process_is_none(tmp_path, other):
    other.kill()
    other.wait()
    assert str(other.pid) in (tmp_path / lock.FILE).read_text()
    held = lock.Lock(tmp_path)
    assert f"process {os.getpid()} " in (tmp_path / lock.FILE).read_text()
    held.release()


def test_it_ends_when_it_is_released_or_forgotten(tmp_path):
    held = lock.Lock(tmp_path)
    with pytest.raises(lock.Taken):
        lock.Lock(tmp_path)
    held.release()
    held = lock.Lock(tmp_path)
    del held
    lock.Lock(tmp_path)


def test_a_deleted_file_lets_no_second_in(tmp_path, other):
    (tmp_path / lock.FILE).unlink()
    with pytest.raises(lock.Taken):
        lock.Lock(tmp_path)


def test_it_knows_where_it_is(tmp_path):
    place = tmp_path / "run"
    place.mkdir()
    held = lock.Lock(place)
    assert held.is_in_place()
    place.rename(tmp_path / "elsewhere")
    assert not held.is_in_place()
    place.mkdir()
    assert not held.is_in_place()
