"""ONNX files against alexnet_jax: onnxruntime computes the same stages. Skipped without
onnx and onnxruntime."""

import json
import sys

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
    with_model,
)

import alexnet_jax
from alexnet_jax import augment, convert, model
from alexnet_jax.errors import UserError
from alexnet_jax.weights import onnx_file
from benchmarks import parity

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="it is not installed")


def session(proto):
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def with_all_outputs(proto):
    """As the documentation says to get them."""
    proto.graph.output.extend(proto.graph.value_info)
    return session(proto)


def run(running, array):
    (start,) = running.get_inputs()
    names = [one.name for one in running.get_outputs()]
    found = running.run(names, {start.name: array})
    return parity.channels_last(dict(zip(names, found, strict=True)))


@pytest.mark.parametrize("name", CONFIGS)
def test_stages(name):
    """Every stage of every layer, in batches of 1 and 17."""
    network = random_network(CONFIGS[name])
    proto = onnx_file.model(network)
    onnx.checker.check_model(proto, full_check=True)
    running = with_all_outputs(proto)
    view = random_views(network.config, 17)
    found = run(running, view.transpose(0, 3, 1, 2))
    expected = stages(network, view)
    assert_same(found, expected)
    one = run(running, view[:1].transpose(0, 3, 1, 2))
    assert_same(one, {stage: array[:1] for stage, array in expected.items()})


def test_the_factor_of_dropout_counts():
    """A stage is taken before the factor; without it the next one would differ."""
    found = {}
    for dropout in ("2012", "inverted"):
        config = with_model(DIGITS, dropout=dropout)
        proto = onnx_file.model(random_network(config))
        found[dropout] = run(
            with_all_outputs(proto), random_views(config, 1).transpose(0, 3, 1, 2)
        )
    one, other = found["2012"], found["inverted"]
    np.testing.assert_array_equal(one["fc6.activation"], other["fc6.activation"])
    assert not np.allclose(one["fc7.linear"], other["fc7.linear"], rtol=0.1)


@pytest.mark.parametrize("name", ["digits", "torchvision_alexnet", "a scale of pixels"])
def test_with_input(name):
    """uint8 images in, logits out, in batches of 1 and 17."""
    network = random_network(CONFIGS[name])
    config = network.config
    proto = onnx_file.model(network, with_input=True)
    onnx.checker.check_model(proto, full_check=True)
    running = session(proto)
    (start,) = running.get_inputs()
    size = config.data.image_size
    assert (start.name, start.type) == ("image", "tensor(uint8)")
    assert start.shape == ["batch", size, size, 3]
    image = random_images(config, 17)
    view = augment.center_view(image, network.mean_image, config.augment)
    expected = model.logits(config.model, network.params, view)
    for batch in (1, 17):
        found = run(running, image[:batch])
        assert_same(found, {"fc8.linear": np.asarray(expected)[:batch]})


@pytest.mark.parametrize("last", ["conv2", "conv5", "fc6", "fc7"])
def test_without_the_last_layers(last):
    network = random_network(DIGITS, last=last)
    proto = onnx_file.model(network)
    onnx.checker.check_model(proto, full_check=True)
    view = random_views(DIGITS, 2)
    found = run(with_all_outputs(proto), view.transpose(0, 3, 1, 2))
    assert_same(found, stages(network, view))


def test_the_command(tmp_path, capsys):
    """A shipped network; its metadata is that of our own file."""
    dest = tmp_path / "digits.onnx"
    print(convert.run(convert.Options(source="digits", dest=dest, with_input=True)))
    assert "digits.onnx, 0.4 MB, and its model card" in capsys.readouterr().out
    proto = onnx.load(dest)
    onnx.checker.check_model(proto, full_check=True)
    (entry,) = proto.metadata_props
    ours = alexnet_jax.load("digits")
    assert entry.key == "alexnet_jax"
    content = json.loads(entry.value)
    assert content["config"]["augment"]["crop_size"] == 24
    assert content["origin"] == ours.network.origin
    image = random_images(DIGITS, 5)
    logits = run(session(proto), image)["fc8.linear"]
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    expected = ours.predict(image).probabilities
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)
    assert "onnxruntime.InferenceSession" in dest.with_suffix(".md").read_text()


def test_refused(tmp_path, monkeypatch):
    def options(name, **others):
        return convert.Options(source="digits", dest=tmp_path / name, **others)

    with pytest.raises(UserError, match="in .onnx, .jaxexport with --with-input"):
        convert.run(options("a.safetensors", with_input=True))
    with pytest.raises(UserError, match="--torch-module and --with-input exclude"):
        convert.run(options("a.onnx", with_input=True, torch_module=True))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"a.onnx: ONNX files need onnx \(pip install"):
        convert.run(options("a.onnx"))
    assert not list(tmp_path.iterdir())
