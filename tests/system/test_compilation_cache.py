"""compilation_cache.py: the second start compiles nothing, and no fault stops a run."""

import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache as of_jax

from alexnet_jax.system import compilation_cache

OPTIONS = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)
READ = "/jax/compilation_cache/cache_hits"
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))


@pytest.fixture(autouse=True)
def nothing_set(tmp_path, monkeypatch):
    """No cache but that of the user, who has a folder for them."""
    before = {name: getattr(jax.config, name) for name in OPTIONS}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    of_jax.reset_cache()


def start(place="auto"):
    """Two programs in a new process, as far as JAX's caches go: their result, and how
    many of them were read."""
    of_jax.reset_cache()
    jax.clear_caches()
    jax.config.update("jax_compilation_cache_dir", None)
    x = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    compilation_cache.use(place)
    return run_programs(x)


def run_programs(x):
    events.clear()
    product = jax.jit(lambda x: jnp.sin(x) @ x)(x)
    result = np.asarray(jax.jit(lambda x: jnp.tanh(x).sum(axis=0))(product))
    return result.tobytes(), events.count(READ)


def entries(tmp_path):
    return sorted((tmp_path / "user/alexnet_jax/xla").glob("*/*-cache"))


def test_the_second_start_reads(tmp_path, capfd):
    """The same bits, and XLA has nothing to say about programs that it reads."""
    first, of_first = start()
    second, of_second = start()
    assert (of_first, of_second) == (0, 2)
    assert first == second
    assert len(entries(tmp_path)) == 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("damage", ["half", "empty", "other"])
def test_damaged_entries_are_replaced(tmp_path, capfd, damage):
    whole, _ = start()
    for entry in entries(tmp_path):
        content = entry.read_bytes()
        damaged = {"half": content[: len(content) // 2], "empty": b"", "other": b"xyz"}
        entry.write_bytes(damaged[damage])
    assert start() == (whole, 0)
    assert start() == (whole, 2)
    assert capfd.readouterr() == ("", "")


def test_a_file_in_the_place_of_the_folder(tmp_path, capfd):
    whole, _ = start("off")
    (tmp_path / "user").write_text("")
    assert start() == (whole, 0)
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and err.startswith("warning: compiled programs cannot")


def test_a_full_disk(tmp_path, capfd):
    """One line for all programs, and no part of an entry is left."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        whole, _ = start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "File too large" in err
    assert entries(tmp_path) == []
    assert start("off") == (whole, 0)


def test_off(tmp_path):
    start("off")
    assert not (tmp_path / "user").exists()


def test_a_folder_for_each_machine(tmp_path, monkeypatch):
    for threads in ("3", "4"):
        monkeypatch.setenv("NPROC", threads)
        start(str(tmp_path / "shared"))
    folders = list((tmp_path / "shared").iterdir())
    assert len(folders) == 2 and all(list(folder.iterdir()) for folder in folders)
    assert not (tmp_path / "user").exists()


def test_the_folder_of_jax_s_own_setting(tmp_path):
    own = str(tmp_path / "own")
    jax.config.update("jax_compilation_cache_dir", own)
    compilation_cache.use()
    assert jax.config.jax_compilation_cache_dir == own
    assert not (tmp_path / "user").exists()
