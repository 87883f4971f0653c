"""Networks without their last layers: converted, loaded and used for features as far as
they go; a gap in the middle and predictions are refused."""

import dataclasses

import numpy as np
import pytest
from caffe_files import caffemodel, graph
from foreign_weights import random_arrays, state_dict
from safetensors.numpy import load_file, save_file
from stand_ins import digits_network, picture

import alexnet_jax
from alexnet_jax import convert, evaluate, features, model, predict
from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import UserError
from alexnet_jax.inference import activations, feature_files
from alexnet_jax.weights import network_file

CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")


def cut(network, *layers):
    """The network with these layers alone."""
    params = {layer: network.params[layer] for layer in layers}
    return dataclasses.replace(network, params=params)


@pytest.fixture(scope="module")
def whole(digits_run):
    """A trained network on the host."""
    mesh = MeshConfig(data=1, column=1)
    network = alexnet_jax.load(digits_run, mesh=mesh).network.on_host()
    return dataclasses.replace(network, origin={"format": "run directory"})


@pytest.fixture(scope="module")
def files(whole, tmp_path_factory):
    """Weights files that end with conv3, with conv5 and with fc7."""
    folder = tmp_path_factory.mktemp("partial")
    layers = [*CONVOLUTIONS, "fc6", "fc7"]
    found = {}
    for last in ("conv3", "conv5", "fc7"):
        found[last] = folder / f"{last}.safetensors"
        present = layers[: layers.index(last) + 1]
        network_file.write(found[last], cut(whole, *present))
    return found


@pytest.mark.parametrize("last", ["conv3", "conv5", "fc7"])
@pytest.mark.parametrize("column", [1, 2])
def test_features_are_those_of_the_whole_network(
    last, column, files, digits_run, tmp_path
):
    """Of all stages that it has, in a file too."""
    mesh = MeshConfig(data=1, column=column)
    pixels = [picture(seed) for seed in range(3)]
    whole = alexnet_jax.load(digits_run, mesh=mesh)
    found = alexnet_jax.load(files[last], mesh=mesh)
    stages = found.layers()
    all_stages = list(whole.layers())
    end = max(i for i, name in enumerate(all_stages) if name.startswith(last)) + 1
    assert list(stages) == all_stages[:end]
    assert stages == {name: whole.layers()[name] for name in stages}
    expected = whole.features(pixels, list(stages))
    for name, array in found.features(pixels, list(stages)).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-5)
    output = tmp_path / "f.npz"
    alexnet_jax.extract_features(found, pixels, layers=last, output=output)
    rows = feature_files.read(output)[last]
    np.testing.assert_allclose(rows, expected[f"{last}.activation"], 1e-5, 1e-5)


def test_predictions_are_refused(files, digits_run, tmp_path):
    """Before the images are read, by all that predict."""
    message = (
        r"conv3.safetensors has no conv4, conv5, fc6, fc7, fc8: it gives features of "
        "the layers up to conv3"
    )
    with pytest.raises(UserError, match=message):
        alexnet_jax.load(files["conv3"]).predict("nothing.jpg")
    options = {"workdir": files["conv3"], "images": ("nothing.jpg",)}
    with pytest.raises(UserError, match=message):
        predict.run(predict.Options(**options))
    with pytest.raises(UserError, match=message):
        evaluate.run(evaluate.Options(workdir=(digits_run, files["conv3"])))
    with pytest.raises(UserError, match="fc7.safetensors has no fc8: "):
        alexnet_jax.load(files["fc7"]).predict(picture(0))
    with pytest.raises(UserError, match="no layer 'fc7': it has conv1.linear, .*pool"):
        alexnet_jax.load(files["conv5"]).features(picture(0), "fc7")


def test_the_list_and_the_repr(files, capsys):
    features.run(features.Options(workdir=files["conv3"], list=True))
    lines = capsys.readouterr().out.splitlines()[1:]
    loaded = alexnet_jax.load(files["conv3"], mesh=MeshConfig(data=1, column=1))
    assert [line.split()[0] for line in lines] == list(loaded.layers())
    assert lines[-1].split()[0] == "conv3.activation"
    parameters = sum(array.size for array in load_file(files["conv3"]).values())
    assert repr(loaded) == (
        f'Model("{files["conv3"]}": layers up to conv3, crop 24x24, '
        f"{parameters - 28 * 28 * 3:,} parameters, 1 device)"
    )


def test_nothing_after_the_deepest_layer_is_computed():
    """Not even traced: the parameters need not be there."""
    network = digits_network()
    image = np.zeros((2, 28, 28, 3), np.uint8)

    def ask(*layers, stages):
        params = cut(network, *layers).params
        return activations.activations(
            params, image, network.mean_image, config=network.config, stages=stages
        )

    found = ask("conv1", "conv2", stages=("conv1.linear", "conv2.pool"))
    expected = model.stages(
        network.config.model, network.params, image[:, 2:26, 2:26].astype("f4") - 1
    )
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize(
    "names, message",
    [
        (("conv1", "conv2", "conv4"), r"conv3.kernel \[.*\] is missing"),
        (("conv2", "conv3"), r"conv1.kernel \[.*\] is missing"),
        ((*CONVOLUTIONS, "fc7"), r"fc6.kernel \[.*\] is missing"),
        ((), r"fc8.bias \[10\] is missing"),
    ],
)
def test_gaps_are_refused(names, message, whole, tmp_path):
    path = tmp_path / "gap.safetensors"
    network_file.write(path, cut(whole, *names))
    with pytest.raises(UserError, match=message):
        alexnet_jax.load(path)


def test_half_a_last_layer_is_refused(files, tmp_path):
    arrays = load_file(files["conv5"])
    _, text = network_file.to_arrays(network_file.read(files["conv5"]))
    path = tmp_path / "half.safetensors"
    for name, change, message in (
        ("conv5.bias", None, r"conv5.bias \[32\] is missing"),
        ("conv5.bias", arrays["conv5.bias"][:8], r"is \[8\] and should be \[32\]"),
    ):
        changed = {key: one for key, one in arrays.items() if key != name}
        changed |= {} if change is None else {name: change}
        save_file(changed, path, metadata={"alexnet_jax": text})
        with pytest.raises(UserError, match=message):
            alexnet_jax.load(path)


# --- files of others -----------------------------------------------------------------


def convolutions(network):
    return {layer: random_arrays(network, units=8)[layer] for layer in CONVOLUTIONS}


def foreign_file(form, folder):
    if form == "caffemodel":
        path = folder / "net.caffemodel"
        rows = [row for row in graph("AlexNet") if not row[0].startswith("fc")]
        path.write_bytes(caffemodel(convolutions("caffe_alexnet"), rows=rows))
    elif form == "npz":
        path = folder / "net.npz"
        arrays = convolutions("caffe_alexnet").items()
        np.savez(
            path,
            **{f"{k}_{n}": a for k, v in arrays for n, a in zip("wb", v, strict=True)},
        )
    elif form == "safetensors":
        path = folder / "net.safetensors"
        save_file(state_dict(convolutions("torchvision_alexnet")), path)
    else:
        torch = pytest.importorskip("torch", reason="torch is not installed")
        path = folder / "net.pth"
        state = state_dict(convolutions("torchvision_alexnet"))
        torch.save({name: torch.from_numpy(one) for name, one in state.items()}, path)
    return path


@pytest.mark.parametrize("form", ["caffemodel", "npz", "safetensors", "torch"])
def test_convolutions_of_others(form, tmp_path):
    """Converted, to our formats and back, and asked for pool5."""
    ours, archive = tmp_path / "ours.safetensors", tmp_path / "archive.npz"
    preset = "caffe_alexnet" if form == "npz" else None
    source = foreign_file(form, tmp_path)
    said = convert.run(convert.Options(source=source, dest=ours, preset=preset))
    count = sum(a.size for pair in read_pairs(form) for a in pair)
    assert said.startswith(f"{count:,} parameters, layers up to conv5\n")
    convert.run(convert.Options(source=ours, dest=archive))
    again = tmp_path / "again.safetensors"
    convert.run(convert.Options(source=archive, dest=again))
    assert again.read_bytes() == ours.read_bytes()
    loaded = alexnet_jax.load(ours)
    assert loaded.network.class_names is None
    assert loaded.features(picture(0), "pool5")["pool5"].shape == (1, 6, 6, 256)
    names = tmp_path / "names.txt"
    names.write_text("one\n" * 1000)
    options = convert.Options(
        source=source, dest=tmp_path / "b.npz", preset=preset, class_names=names
    )
    with pytest.raises(UserError, match="ends with conv5, which has no classes"):
        convert.run(options)


def read_pairs(form):
    caffe = form in ("caffemodel", "npz")
    network = "caffe_alexnet" if caffe else "torchvision_alexnet"
    return convolutions(network).values()


def test_back_to_torchvision(tmp_path):
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.safetensors"
    source = foreign_file("safetensors", tmp_path)
    convert.run(convert.Options(source=source, dest=ours))
    convert.run(convert.Options(source=ours, dest=back, torchvision=True))
    expected, found = load_file(source), load_file(back)
    assert set(found) == set(expected) and len(found) == 10
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_without_fc6_the_convolutions_are_converted(tmp_path):
    """fc7 and fc8 are left out, which the origin says; features work, prediction does
    not."""
    arrays = convolutions("torchvision_alexnet")
    state = state_dict(arrays)
    state["classifier.4.weight"] = np.zeros((4096, 4096), np.float32)
    state["classifier.4.bias"] = np.zeros(4096, np.float32)
    state["classifier.6.weight"] = np.zeros((10, 4096), np.float32)
    state["classifier.6.bias"] = np.zeros(10, np.float32)
    source, dest = tmp_path / "no_fc6.safetensors", tmp_path / "convs.safetensors"
    save_file(state, source)
    text = convert.run(convert.Options(source=source, dest=dest))
    assert "left_out: fc7, fc8: there is no fc6" in text
    assert (
        "| Left out | fc7, fc8: there is no fc6 |"
        in (tmp_path / "convs.md").read_text()
    )
    network = network_file.read(dest)
    assert set(network.params) == set(CONVOLUTIONS)
    model = alexnet_jax.load(dest)
    image = np.zeros((256, 256, 3), np.uint8)
    assert model.features(image, "conv5")["conv5"].shape == (1, 13, 13, 256)
    with pytest.raises(UserError, match="has no fc6, fc7, fc8: it gives features"):
        model.predict(image)
    del state["features.6.weight"], state["features.6.bias"]  # another gap
    save_file(state, source)
    with pytest.raises(UserError, match="features.6.weight .* is missing"):
        convert.run(convert.Options(source=source, dest=tmp_path / "b.safetensors"))


def test_a_gap_in_the_file_of_others(tmp_path):
    arrays = convolutions("torchvision_alexnet")
    del arrays["conv3"]
    source = tmp_path / "gap.safetensors"
    save_file(state_dict(arrays), source)
    message = r"features.6.weight \[384, 192, 3, 3\] is missing"
    with pytest.raises(UserError, match=message) as raised:
        convert.run(convert.Options(source=source, dest=tmp_path / "a.npz"))
    assert "classifier" not in str(raised.value)
