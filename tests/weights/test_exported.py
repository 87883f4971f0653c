"""Exported programs against alexnet_jax. Skipped without flatbuffers."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from any_network import (
    CONFIGS,
    DIGITS,
    assert_same,
    random_images,
    random_network,
    random_views,
    stages,
)

import alexnet_jax
from alexnet_jax import augment, convert
from alexnet_jax.errors import UserError
from alexnet_jax.weights import exported, network_file

pytest.importorskip("flatbuffers", reason="flatbuffers is not installed")

# Each whole network of the presets takes seconds.
NAMES = ["digits", "caffenet", "without layers", "tanh"]


def loaded(content):
    return jax.export.deserialize(bytearray(content))


@pytest.mark.parametrize("name", NAMES)
def test_stages(name):
    """Every stage of every layer, in batches of 1 and 17."""
    network = random_network(CONFIGS[name])
    program = loaded(exported.serialized(network))
    assert program.platforms == ("cpu", "cuda", "tpu")
    view = random_views(network.config, 17)
    expected = stages(network, view)
    for batch in (1, 17):
        found = program.call(view[:batch])
        assert list(sorted(found)) == sorted(expected)
        assert_same(found, {stage: array[:batch] for stage, array in expected.items()})


def test_metadata():
    """That of our file, in the name of the program."""
    network = random_network(CONFIGS["digits"])
    program = loaded(exported.serialized(network))
    _, text = network_file.to_arrays(network)
    assert program.fun_name == text
    assert json.loads(program.fun_name)["config"]["model"]["num_columns"] == 2


@pytest.mark.parametrize("name", ["digits", "torchvision_alexnet"])
def test_with_input(name):
    network = random_network(CONFIGS[name])
    program = loaded(exported.serialized(network, with_input=True))
    (start,) = program.in_avals
    assert start.dtype == "uint8"
    image = random_images(network.config, 3)
    view = augment.center_view(image, network.mean_image, network.config.augment)
    assert_same(program.call(image), stages(network, view))


def test_without_the_last_layers():
    network = random_network(DIGITS, last="conv5")
    view = random_views(DIGITS, 2)
    expected = stages(network, view)
    found = loaded(exported.serialized(network)).call(view)
    assert set(found) == set(expected)
    assert_same(found, expected)


def test_unused_stages_cost_nothing():
    program = loaded(exported.serialized(random_network(DIGITS)))

    def flops(stage):
        def one(view):
            return program.call(view)[stage]

        compiled = jax.jit(one).lower(random_views(DIGITS, 2)).compile()
        return compiled.cost_analysis()["flops"]

    assert 1 < flops("conv1.linear") < flops("fc8.linear") / 2


def test_it_needs_nothing_of_ours(tmp_path):
    """In a process that cannot import this package; its gradient is not stored."""
    dest = tmp_path / "digits.jaxexport"
    convert.run(convert.Options(source="digits", dest=dest, with_input=True))
    image = random_images(DIGITS, 5)
    np.save(tmp_path / "image.npy", image)
    program = """
import sys
sys.modules["alexnet_jax"] = sys.modules["flax"] = None
from pathlib import Path
import jax, numpy
content = Path("digits.jaxexport").read_bytes()
program = jax.export.deserialize(bytearray(content))
logits = jax.jit(lambda x: program.call(x)["fc8.linear"])(numpy.load("image.npy"))
numpy.save("out.npy", jax.nn.softmax(logits))
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    expected = alexnet_jax.load("digits").predict(image).probabilities
    found = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert "jax.export.deserialize" in dest.with_suffix(".md").read_text()


def test_flatbuffers_is_needed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    dest = tmp_path / "digits.jaxexport"
    with pytest.raises(UserError, match=r"flatbuffers \(pip install flatbuffers\)"):
        convert.run(convert.Options(source="digits", dest=dest))
    assert not list(tmp_path.iterdir())
