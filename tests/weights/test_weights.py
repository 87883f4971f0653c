"""Weights files: there and back, through the commands, and what is refused."""

import dataclasses
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import alexnet_jax
from alexnet_jax import evaluate, features, predict, presets, visualize
from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import UserError
from alexnet_jax.training import saved_network, workdir
from alexnet_jax.weights import network_file, parameter_shapes


def exported(run_directory):
    """The newest checkpoint of a run as weights."""
    mesh = MeshConfig(data=1, column=1)
    network = alexnet_jax.load(run_directory, mesh=mesh).network.on_host()
    return dataclasses.replace(network, origin={"format": "run directory"})


@pytest.fixture(scope="module")
def digits_weights(digits_run):
    return exported(digits_run)


@pytest.fixture(scope="module")
def digits_file(digits_weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    network_file.write(path, digits_weights)
    return path


def same(one, other):
    for (layer, a), (_, b) in zip(
        sorted(one.params.items()), sorted(other.params.items()), strict=True
    ):
        for kind in ("kernel", "bias"):
            np.testing.assert_array_equal(a[kind], b[kind], err_msg=layer)
    np.testing.assert_array_equal(one.mean_image, other.mean_image)
    fields = ("config", "class_names", "step", "origin")
    assert [getattr(one, f) for f in fields] == [getattr(other, f) for f in fields]


def test_there_and_back(digits_weights, digits_file, tmp_path):
    found = network_file.read(digits_file)
    same(found, digits_weights)
    assert network_file.read_config(digits_file) == digits_weights.config
    again = tmp_path / "again.safetensors"
    network_file.write(again, found)
    assert again.read_bytes() == digits_file.read_bytes()


def test_what_the_file_says_of_the_images(digits_file):
    with digits_file.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    said = json.loads(header["__metadata__"]["alexnet_jax"])["input"]
    assert said == (
        "RGB on 0-255, scaled to 28x28 (shorter side, then the centre); the centre "
        "24x24; minus the centre of mean_image; times 1.0; [batch, height, width, 3]"
    )


@pytest.mark.parametrize("data, column", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_a_file_predicts_as_its_run(digits_run, digits_file, data, column):
    digits = np.random.default_rng(0).integers(0, 256, (6, 30, 28, 3), np.uint8)
    expected = alexnet_jax.load(digits_run).predict(digits)
    mesh = MeshConfig(data=data, column=column)
    model = alexnet_jax.load(digits_file, mesh=mesh)
    found = model.predict(digits)
    np.testing.assert_allclose(
        found.probabilities, expected.probabilities, rtol=2e-5, atol=1e-7
    )
    assert found.class_names == expected.class_names


def test_evaluate(digits_run, digits_file):
    table = evaluate.run(evaluate.Options(workdir=(digits_run, digits_file)))
    _, _, run, file, together = table.splitlines()
    assert run.split()[-3:] == file.split()[-3:] == together.split()[-3:]
    assert f"{digits_file} step " in file


def test_commands_take_a_file(capsys, digits_file, tmp_path):
    options = {"workdir": digits_file, "split": "test"}
    assert predict.run(predict.Options(**options)) == 0
    assert len(capsys.readouterr().out.splitlines()) > 360
    features.run(features.Options(workdir=digits_file, list=True))
    assert "fc7.activation" in capsys.readouterr().out
    output = tmp_path / "fc7.npz"
    features.run(features.Options(**options, output=output))
    assert np.load(output)["fc7"].shape == (360, 128)


@pytest.mark.parametrize("figure", ["kernels", "predictions", "maps"])
def test_figures_of_a_file(figure, digits_file, tmp_path):
    pytest.importorskip("matplotlib")
    said = visualize.run(
        visualize.Options(figure=figure, workdir=digits_file, out=tmp_path)
    )
    assert f"wrote {tmp_path / figure}.png" in said


def test_figures_lie_beside_a_file(digits_file):
    pytest.importorskip("matplotlib")
    visualize.run(visualize.Options(figure="kernels", workdir=digits_file))
    assert (digits_file.parent / "figures" / "kernels.png").exists()
    with pytest.raises(UserError, match="only a run directory has curves"):
        visualize.run(visualize.Options(figure="curves", workdir=digits_file))


def test_a_file_has_one_network(digits_file):
    with pytest.raises(UserError, match="--checkpoint best: .* holds one network"):
        alexnet_jax.load(digits_file, checkpoint="best")


def rewritten(source, path, change):
    """The file with its arrays and its text changed."""
    arrays = load_file(source)
    text = network_file.to_arrays(network_file.read(source))[1]
    arrays, text = change(arrays, json.loads(text))
    save_file(arrays, path, metadata={"alexnet_jax": json.dumps(text)})
    return path


def test_a_file_with_the_older_name_of_a_field(digits_file, tmp_path):
    """The position of a norm used to be called place."""

    def change(arrays, text):
        return arrays, json.loads(json.dumps(text).replace('"position"', '"place"'))

    path = rewritten(digits_file, tmp_path / "older.safetensors", change)
    assert b'"position' not in path.read_bytes()
    assert b"place" in path.read_bytes()
    assert network_file.read(path).config == network_file.read(digits_file).config


def with_text(**fields):
    return lambda arrays, text: (arrays, text | fields)


def with_config(name, value):
    def change(arrays, text):
        inner = text["config"]
        *above, last = name.split(".")
        for part in above:
            inner = inner[part]
        inner[last] = value
        return arrays, text

    return change


def with_array(name, function):
    def change(arrays, text):
        found = function(arrays.pop(name))
        return arrays | ({} if found is None else {name: found}), text

    return change


REFUSED = {
    "another version": (with_text(version=2), "has version 2"),
    "no version": (lambda a, t: (a, {}), "its text 'alexnet_jax' is damaged"),
    "a list": (lambda a, t: (a, [1]), "its text 'alexnet_jax' is damaged"),
    "no configuration": (with_text(config=None), "not of this version"),
    "an unknown field": (with_config("model.surprise", 1), "surprise"),
    "a field of another type": (with_config("model.conv1", "x"), "model.conv1 is 'x'"),
    "an absurd size": (
        with_config("model.fc6.features", 10**12),
        "--model.fc6.features 1000000000000 must be .* at most 1,000,000",
    ),
    "a size that does not fit": (
        with_config("model.fc7.features", 256),
        r"fc7.kernel is \[128, 128\] and should be \[128, 256\]",
    ),
    "a large network": (
        with_config("model.fc6.features", 10**6),
        r"fc6.kernel is .* and should be \[3, 3, 32, 1000000\]",
    ),
    "a missing array": (
        with_array("conv3.bias", lambda a: None),
        r"conv3.bias \[48\] is missing",
    ),
    "an array too many": (
        lambda a, t: (a | {"conv6.bias": a["conv3.bias"]}, t),
        r"the network has no conv6.bias \[48\]",
    ),
    "another mean": (
        with_array("mean_image", lambda a: a[:27]),
        r"mean_image is \[27, 28, 3\] and should be \[28, 28, 3\]",
    ),
    "no number": (
        with_array("fc8.bias", lambda a: a * np.nan),
        "fc8.bias holds values that are not finite",
    ),
    "integers": (
        with_array("fc8.bias", lambda a: a.astype(np.int32)),
        "fc8.bias is int32 and should be float32",
    ),
    "too many names": (
        with_text(class_names=["x"] * 11),
        "its class names are not a list of at most 10",
    ),
    "names of another type": (with_text(class_names=[1]), "its class names are not"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, digits_file, tmp_path):
    change, message = REFUSED[name]
    path = rewritten(digits_file, tmp_path / "changed.safetensors", change)
    with pytest.raises(UserError, match=message) as raised:
        network_file.read(path)
    assert str(path) in str(raised.value) or "--model" in str(raised.value)


DAMAGED = {
    "empty": lambda content: b"",
    "cut in its header": lambda content: content[:100],
    "cut in its arrays": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "a header of 2^63": lambda content: b"\xff" * 7 + b"\x7f" + content[8:],
    "a header that is no JSON": lambda content: content[:8] + b"x" + content[9:],
    "text": lambda content: b"no weights at all, but text",
    "a pickle": lambda content: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "overlapping arrays": lambda content: content.replace(
        b'"data_offsets":[0,', b'"data_offsets":[4,', 1
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name, digits_file, tmp_path):
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(DAMAGED[name](digits_file.read_bytes()))
    for function in (network_file.read, network_file.read_config):
        with pytest.raises(UserError, match="is not a safetensors file, or is damaged"):
            function(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(UserError, match="no.safetensors does not exist"):
        alexnet_jax.load(tmp_path / "no.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, foreign)
    with pytest.raises(UserError, match="is not a weights file of alexnet_jax"):
        alexnet_jax.load(foreign)
    other = tmp_path / "net.caffemodel"
    other.touch()
    with pytest.raises(
        UserError, match="alexnet_jax.convert .*net.caffemodel net.safe"
    ):
        alexnet_jax.load(other)
    with pytest.raises(UserError, match="holds no run"):
        alexnet_jax.load(tmp_path)


def test_nothing_is_half_written(digits_weights, tmp_path, monkeypatch):
    def full(path, content):
        with open(path, "wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError):
        network_file.write(tmp_path / "x.safetensors", digits_weights)
    assert not list(tmp_path.iterdir())


def test_narrow_types_are_widened_exactly(digits_weights, digits_file, tmp_path):
    half = digits_weights.params["fc6"]["kernel"].astype(np.float16)
    path = rewritten(
        digits_file,
        tmp_path / "half.safetensors",
        with_array("fc6.kernel", lambda array: array.astype(np.float16)),
    )
    found = network_file.read(path).params["fc6"]["kernel"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, half)


def test_configs_of_all_presets_fit_their_parameters():
    """Without layers, too: shapes alone, nothing is computed."""
    for config in presets.PRESETS.values():
        assert list(parameter_shapes.shapes(config)) == [
            *(f"conv{i}" for i in range(1, 6)),
            *(f"fc{i}" for i in range(6, 9)),
        ]
    without = dataclasses.replace(presets.DIGITS.model, without=("conv3", "fc7"))
    shapes = parameter_shapes.shapes(dataclasses.replace(presets.DIGITS, model=without))
    assert "conv3" not in shapes and "fc7" not in shapes


def test_run_directories_still_load(digits_run):
    assert saved_network.read_config(digits_run) == workdir.read_config(digits_run)
