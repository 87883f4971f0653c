"""Four virtual devices (so that 2x2 meshes fit), strict dtypes and ranks, the data.

All tests of a session, and the processes that they start, share one cache of compiled
programs.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import jax
import pytest

from alexnet_jax.system import devices

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # The first process makes the folder; workers of pytest-xdist inherit its name.
    programs = tempfile.mkdtemp(prefix="alexnet_jax-tests-")
    atexit.register(shutil.rmtree, programs, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = programs
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    jax.config.update("jax_compilation_cache_dir", programs)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(params=["cpu", "cuda", "tpu"])
def computed_as_on(request, monkeypatch) -> str:
    """A platform whose forms are taken here too."""

    def form_of_platform(*arrays, default=None, **forms):
        return forms.get(request.param, default)(*arrays)

    monkeypatch.setattr(jax.lax, "platform_dependent", form_of_platform)
    platform = "gpu" if request.param == "cuda" else request.param
    monkeypatch.setattr(devices, "platform", lambda: platform)
    return request.param


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real images that ALEXNET_JAX_TEST_DATA names."""
    folder = os.environ.get("ALEXNET_JAX_TEST_DATA")
    if not folder:
        pytest.skip("ALEXNET_JAX_TEST_DATA does not name a folder of real images")
    return Path(folder)


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory) -> str:
    """A tfds data directory with the digits, so that nothing is written at home."""
    from alexnet_jax.data import digits

    folder = str(tmp_path_factory.mktemp("tfds"))
    digits.prepare(folder)
    return folder


@pytest.fixture(scope="session")
def digits_run(digits_dir, tmp_path_factory) -> Path:
    """The run directory of a network that has learned digits for two epochs."""
    import dataclasses

    from alexnet_jax import presets, train

    base = presets.DIGITS
    config = dataclasses.replace(
        base,
        num_epochs=2,
        data=dataclasses.replace(base.data, data_dir=digits_dir),
    )
    folder = tmp_path_factory.mktemp("runs") / "digits"
    train.train_and_evaluate(config, folder)
    return folder
