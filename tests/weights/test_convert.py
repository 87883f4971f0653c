"""Weights of Caffe and torchvision against an oracle in numpy; formats there and back;
files that are damaged, of another network, or hostile.

The fully connected layers are narrow here; test_torch_weights.py has all of them.
"""

import dataclasses
import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import caffe_oracle
import numpy as np
import pytest
from caffe_files import binaryproto, block, caffemodel, graph, real, whole
from foreign_weights import (
    LAYERS,
    NETWORKS,
    channels_last,
    random_arrays,
    state_dict,
)
from safetensors.numpy import load_file, save_file
from stand_ins import picture

import alexnet_jax
from alexnet_jax import convert
from alexnet_jax.config import MeshConfig
from alexnet_jax.errors import UserError
from alexnet_jax.presets import torchvision as torchvision_preset
from alexnet_jax.weights import caffe, network_file, npz, torchvision
from alexnet_jax.weights.network import Network

UNITS, CLASSES = 64, 10
TITLES = {"caffe_alexnet": "AlexNet", "caffenet": "CaffeNet"}


def narrow(config):
    model = dataclasses.replace(
        config.model,
        fc6=dataclasses.replace(config.model.fc6, features=UNITS),
        fc7=dataclasses.replace(config.model.fc7, features=UNITS),
    )
    return dataclasses.replace(config, model=model, batch_size=4)


@pytest.fixture(autouse=True, scope="module")
def narrow_presets():
    with pytest.MonkeyPatch.context() as patch:
        for name, config in caffe.PRESETS.items():
            patch.setitem(caffe.PRESETS, name, narrow(config))
        theirs = narrow(torchvision_preset.TORCHVISION_ALEXNET)
        patch.setattr(torchvision_preset, "TORCHVISION_ALEXNET", theirs)
        yield


def arrays_of(network):
    return random_arrays(network, units=UNITS, classes=CLASSES)


def flat(arrays, weight, bias):
    """By names such as "conv1_w"."""
    return {
        layer + end: array
        for layer, pair in arrays.items()
        for end, array in zip((weight, bias), pair, strict=True)
    }


def write_source(form, network, path, arrays=None):
    """Writes a file in that format and returns its name."""
    arrays = arrays or arrays_of(network)
    if form in ("old", "new"):
        path = path / f"{network}.caffemodel"
        path.write_bytes(caffemodel(arrays, TITLES[network], old=form == "old"))
        return path
    if form == "safetensors":
        path = path / "net.safetensors"
        torchvision = network == "torchvision_alexnet"
        named = state_dict(arrays) if torchvision else flat(arrays, ".weight", ".bias")
        save_file(named, path)
        return path
    path = path / "net.npz"
    if form == "state":
        np.savez(path, **state_dict(arrays))
    elif form == "w":
        np.savez(path, **flat(arrays, "_w", "_b"))
    elif form == "weights":
        np.savez(path, **flat(arrays, "/weights", "/biases"))
    elif form == "last":
        np.savez(path, **flat(channels_last(arrays), "_0", "_1"))
    return path


def converted(source, folder, **options):
    dest = folder / "ours.safetensors"
    convert.run(convert.Options(source=source, dest=dest, **options))
    return dest


FORMS = [
    ("old", "caffe_alexnet"),
    ("new", "caffenet"),
    ("safetensors", "torchvision_alexnet"),
]


@pytest.fixture(scope="module")
def files(narrow_presets, tmp_path_factory):
    """A converted file of each network."""
    found = {}
    for form, network in FORMS:
        folder = tmp_path_factory.mktemp(network)
        found[network] = converted(write_source(form, network, folder), folder)
    return found


def expected_input(network, image):
    """The input of the original network, from uint8 `[256, 256, 3]`, RGB."""
    if network == "torchvision_alexnet":
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        return ((image[16:240, 16:240] / 255 - mean) / std).transpose(2, 0, 1)
    bgr = image[14:241, 14:241, ::-1] - np.array([104.007, 116.669, 122.679])
    return bgr.transpose(2, 0, 1)


@pytest.mark.parametrize("network", NETWORKS)
def test_activations(network, files):
    """Every stage of every layer within 1e-5 of its largest value."""
    image = np.stack([picture(seed, 256, 256) for seed in (0, 1)])
    model = alexnet_jax.load(files[network])
    found = model.features(image, list(model.layers()))
    probabilities = model.predict(image).probabilities
    for row, one in enumerate(image):
        expected = caffe_oracle.activations(
            network, arrays_of(network), expected_input(network, one)
        )
        assert set(expected) == set(found)
        for name, array in expected.items():
            ours = found[name][row]
            ours = ours.transpose(2, 0, 1) if ours.ndim == 3 else ours
            limit = 1e-5 * np.abs(array).max()
            np.testing.assert_allclose(ours, array, rtol=0, atol=limit, err_msg=name)
        assert probabilities[row].argmax() == expected["fc8.linear"].argmax()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_oracle_tells_networks_apart(network):
    """The order of norm and pool, and the groups, do matter at this scale."""
    x = expected_input(network, picture(0, 256, 256))
    arrays = arrays_of(network)
    one = caffe_oracle.activations(network, arrays, x)["fc8.linear"]
    if network == "torchvision_alexnet":
        other = caffe_oracle.activations(network, arrays, x[::-1])["fc8.linear"]
    else:
        (others,) = set(TITLES) - {network}
        other = caffe_oracle.activations(others, arrays, x)["fc8.linear"]
    assert np.abs(one - other).max() > 1e-2 * np.abs(one).max()


@pytest.mark.parametrize("network", ["caffe_alexnet", "caffenet"])
def test_two_column_devices(network, files):
    """In Caffe norms reach across the columns, and so across the devices."""
    image = np.stack([picture(seed, 256, 256) for seed in (0, 1)])
    found = []
    for column in (1, 2):
        mesh = MeshConfig(data=1, column=column)
        model = alexnet_jax.load(files[network], mesh=mesh)
        found.append(model.features(image, list(model.layers())))
    for name, array in found[0].items():
        limit = 1e-6 * np.abs(array).max()
        np.testing.assert_allclose(found[1][name], array, rtol=0, atol=limit)


def same_params(one, other):
    for layer in LAYERS:
        for kind in ("kernel", "bias"):
            a, b = one.params[layer][kind], other.params[layer][kind]
            np.testing.assert_array_equal(a.view("u4"), b.view("u4"), err_msg=layer)
    np.testing.assert_array_equal(one.mean_image, other.mean_image)
    assert one.config == other.config
    assert one.class_names == other.class_names


@pytest.mark.parametrize(
    "form, network",
    [
        ("new", "caffe_alexnet"),
        ("old", "caffenet"),
        ("safetensors", "caffenet"),
        ("w", "caffe_alexnet"),
        ("weights", "caffenet"),
        ("last", "caffe_alexnet"),
        ("state", "torchvision_alexnet"),
    ],
)
def test_all_forms_give_the_same_bits(form, network, files, tmp_path):
    source = write_source(form, network, tmp_path)
    asked = form in ("w", "weights", "last") or (form, network) == FORMS[2][:1]
    preset = network if asked or source.suffix == ".safetensors" else None
    found = network_file.read(converted(source, tmp_path, preset=preset))
    same_params(found, network_file.read(files[network]))


@pytest.mark.parametrize("network", NETWORKS)
def test_there_and_back(network, files, tmp_path):
    """Ours to an archive of numpy and back gives the same bytes; torchvision's arrays
    come out as they went in."""
    archive, again = tmp_path / "a.npz", tmp_path / "b.safetensors"
    convert.run(convert.Options(source=files[network], dest=archive))
    convert.run(convert.Options(source=archive, dest=again))
    assert again.read_bytes() == files[network].read_bytes()
    if network == "torchvision_alexnet":
        state = tmp_path / "state.safetensors"
        convert.run(
            convert.Options(source=files[network], dest=state, torchvision=True)
        )
        expected = state_dict(arrays_of(network))
        found = load_file(state)
        assert set(found) == set(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
        back = network_file.read(converted(state, tmp_path))
        same_params(back, network_file.read(files[network]))


def test_a_run_directory(digits_run, tmp_path):
    dest = converted(digits_run, tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 3), np.uint8)
    run, file = alexnet_jax.load(digits_run), alexnet_jax.load(dest)
    np.testing.assert_allclose(
        file.predict(pixels).probabilities,
        run.predict(pixels).probabilities,
        rtol=1e-5,
        atol=1e-7,
    )
    assert file.network.step == run.network.step
    archive = tmp_path / "run.npz"
    convert.run(convert.Options(source=dest, dest=archive))
    again = tmp_path / "again.safetensors"
    convert.run(convert.Options(source=archive, dest=again))
    assert again.read_bytes() == dest.read_bytes()
    with pytest.raises(UserError, match="torchvision's AlexNet is another network"):
        convert.run(
            convert.Options(
                source=digits_run, dest=tmp_path / "t.safetensors", torchvision=True
            )
        )
    with pytest.raises(UserError, match="no intact checkpoint"):
        convert.run(
            convert.Options(
                source=digits_run, dest=tmp_path / "b.npz", checkpoint="12345"
            )
        )


@pytest.mark.parametrize("form", ["2012", "mean"])
def test_torchvision_has_no_factor_in_testing(form):
    """Both forms of dropout have one, unless nothing is dropped."""

    def written(rate):
        config = torchvision_preset.TORCHVISION_ALEXNET
        net = dataclasses.replace(config.model, dropout=form, dropout_rate=rate)
        config = dataclasses.replace(config, model=net)
        network = Network(name="ours", config=config, params={}, mean_image=None)
        return torchvision.state_of(Path("net.pth"), network)

    with pytest.raises(UserError, match="It differs in dropout. Write"):
        written(0.5)
    assert written(0.0) == {}


def test_what_is_recorded(files):
    origin = network_file.read(files["caffe_alexnet"]).origin
    assert len(origin.pop("sha256")) == 64
    assert origin == {
        "format": "Caffe's .caffemodel, V1LayerParameter",
        "network": "caffe_alexnet",
        "channel_order": "BGR",
        "layout": "channels_first",
        "mean": "Caffe's, per channel",
        "file": "caffe_alexnet.caffemodel",
    }


@pytest.mark.parametrize("form", ["binaryproto", "npy", "colour"])
def test_the_mean(form, tmp_path):
    bgr = np.random.default_rng(0).uniform(90, 130, (3, 256, 256)).astype("f4")
    bgr = bgr[:, 0, 0] if form == "colour" else bgr
    path = tmp_path / ("mean.binaryproto" if form == "binaryproto" else "mean.npy")
    if form == "binaryproto":
        path.write_bytes(binaryproto(bgr))
    else:
        np.save(path, bgr)
    source = write_source("new", "caffenet", tmp_path)
    found = network_file.read(converted(source, tmp_path, mean=path))
    expected = np.broadcast_to(bgr.reshape(3, *bgr.shape[1:] or (1, 1)), (3, 256, 256))
    np.testing.assert_array_equal(found.mean_image, expected[::-1].transpose(1, 2, 0))
    assert found.origin["mean"] == path.name


def test_class_names(files, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"class {i}\n" for i in range(CLASSES)))
    dest = converted(files["caffenet"], tmp_path, class_names=names)
    best = alexnet_jax.load(dest).predict([picture(0)]).top(1)
    assert best[0][0][0].startswith("class ")
    names.write_text("one\n")
    with pytest.raises(UserError, match="has 1 lines, and the network 10 classes"):
        converted(files["caffenet"], tmp_path / "..", class_names=names)


def test_a_thousand_classes_are_those_of_imagenet(tmp_path):
    arrays = random_arrays("caffenet", units=UNITS)
    source = write_source("new", "caffenet", tmp_path, arrays)
    names = network_file.read(converted(source, tmp_path)).class_names
    assert names is not None and names[0] == "n01440764" and len(names) == 1000


def test_fine_tuned_networks_have_another_last_layer(files, tmp_path):
    rows = [("fc8_flickr", *row[1:]) if row[0] == "fc8" else row for row in graph("")]
    arrays = arrays_of("caffe_alexnet")
    arrays["fc8_flickr"] = arrays.pop("fc8")
    source = tmp_path / "flickr.caffemodel"
    source.write_bytes(caffemodel(arrays, rows=rows))
    found = network_file.read(converted(source, tmp_path))
    same_params(found, network_file.read(files["caffe_alexnet"]))


@pytest.mark.parametrize("kinds", [{"packed": False}, {"double": True}])
def test_other_ways_to_write_numbers(kinds, tmp_path):
    """Every reader of Protocol Buffers must take lists that are not packed."""
    from alexnet_jax.weights import caffemodel as reading

    biases = arrays_of("caffenet")["conv1"]
    path = tmp_path / "one.caffemodel"
    path.write_bytes(caffemodel({"conv1": (biases[1], biases[1])}, **kinds))
    found = reading.read_net(path).layers["conv1"].blobs
    np.testing.assert_array_equal(found[0], biases[1])


def changed(**layers):
    """The arrays of Caffe's AlexNet, some of them others; none: left out."""
    arrays = arrays_of("caffe_alexnet") | layers
    return {layer: pair for layer, pair in arrays.items() if pair is not None}


def zeros(*shape):
    return np.zeros(shape, "f4")


def settings(layer, content):
    """A graph with other settings of one layer."""
    return [(*row[:3], content) if row[0] == layer else row for row in graph("AlexNet")]


def shaped(sizes):
    """A file of one blob with these sizes and no data."""
    return block(100, block(7, block(7, block(1, sizes))))


# What is refused: the bytes of a .caffemodel, and what is said of it.
REFUSED = {
    "empty": (lambda: b"", "it has no layers"),
    "text": (lambda: b"no weights at all", "damaged: "),
    "a mean image": (lambda: binaryproto(zeros(3, 8, 8)), "it has no layers|damaged"),
    "cut": (lambda: caffemodel(changed())[:-1000], "it has been cut off"),
    "cut in a number": (lambda: b"\xa2\x06\xff", "it ends inside a number at byte 3"),
    "an endless number": (lambda: b"\xff" * 40, "there is no number before byte 10"),
    "a length beyond the end": (
        lambda: b"\xa2\x06" + b"\xff" * 8 + b"\x7f",
        "a value of .* bytes begins 0 bytes before its end",
    ),
    "a group": (lambda: b"\xa3\x06", "has wire type 3"),
    "a number for a layer": (lambda: whole(100, 7), "the number 7 stands in place of"),
    "millions of fields": (
        lambda: whole(1, 1) * 1_000_001,
        "a message has more than 1,000,000 fields",
    ),
    "a shape that is too large": (
        lambda: shaped(b"\xff" * 8 + b"\x7f"),
        r"0 numbers do not have the shape \[9223372036854775807\]",
    ),
    "a shape of nothing": (
        lambda: block(
            100, block(7, block(7, block(1, b"\x00" + b"\xff" * 8 + b"\x7f")))
        ),
        "0 numbers do not have the shape",
    ),
    "a shape that is negative": (
        lambda: shaped(b"\xff" * 9 + b"\x01"),
        r"0 numbers do not have the shape \[18446744073709551615\]",
    ),
    "half a float": (
        lambda: block(100, block(7, block(5, b"123"))),
        "a list of 3 bytes does not hold 4-byte numbers",
    ),
    "the oldest form": (
        lambda: block(2, block(1, block(1, "conv1"))),
        "upgrade_net_proto_binary",
    ),
    "an unknown graph": (
        lambda: caffemodel(changed(), name="", rows=[("conv1", "C", None, b"")]),
        "say which with --preset",
    ),
    "a missing layer": (
        lambda: caffemodel(changed(conv3=None)),
        r"conv3.weight \[384, 256, 3, 3\] is missing",
    ),
    "a layer too many": (
        lambda: caffemodel(
            changed(fc9=(zeros(3, 2), zeros(3))),
            rows=[*graph("AlexNet"), ("fc9", "InnerProduct", "fc8", b"")],
        ),
        r"the network has no fc9.weight \[3, 2\]",
    ),
    "no groups": (
        lambda: caffemodel(changed(conv2=(zeros(256, 96, 5, 5), zeros(256)))),
        r"conv2.weight is \[256, 96, 5, 5\] and should be \[256, 48, 5, 5\]",
    ),
    "an unknown width": (
        lambda: caffemodel(changed(conv1=(zeros(64, 3, 11, 11), zeros(64)))),
        r"conv1.weight is \[64, 3, 11, 11\] and should be \[96, 3, 11, 11\]",
    ),
    "another input of fc6": (
        lambda: caffemodel(changed(fc6=(zeros(UNITS, 6400), zeros(UNITS)))),
        r"fc6.weight is \[64, 6400\] and should be \[64, 9216\]",
    ),
    "no biases": (
        lambda: caffemodel(changed(conv4=(zeros(384, 192, 3, 3),))),
        "conv4 has 1 arrays",
    ),
    "NaN": (
        lambda: caffemodel(changed(fc8=(zeros(10, UNITS), zeros(10) * np.nan))),
        "fc8.bias holds values that are not finite",
    ),
    "another norm": (
        lambda: caffemodel(changed(), rows=settings("norm1", real(2, 5e-4))),
        "norm1.alpha is 0.0005 and should be 0.0001",
    ),
    "a norm over pixels": (
        lambda: caffemodel(changed(), rows=settings("norm2", whole(4, 1))),
        "norm2.norm_region is 1 and should be 0",
    ),
    "another pooling": (
        lambda: caffemodel(changed(), rows=settings("pool5", whole(1, 1))),
        "pool5.pool is 1 and should be 0",
    ),
    "another stride": (
        lambda: caffemodel(changed(), rows=settings("conv1", whole(6, 2))),
        "conv1.stride is 2 and should be 4",
    ),
    "another stride to the right": (
        lambda: caffemodel(
            changed(), rows=settings("conv1", whole(13, 4) + whole(14, 2))
        ),
        "conv1.stride_w is 2 and should be 4",
    ),
    "a list of two strides": (
        lambda: caffemodel(
            changed(), rows=settings("conv1", whole(6, 2) + whole(6, 4))
        ),
        "conv1.stride_h is 2 and should be 4",
    ),
    "padding above and below alone": (
        lambda: caffemodel(
            changed(), rows=settings("conv2", whole(5, 2) + whole(9, 2))
        ),
        "conv2.pad_w is 0 and should be 2",
    ),
    "other padding of both sides": (
        lambda: caffemodel(
            changed(),
            rows=settings("conv2", whole(5, 2) + whole(9, 1) + whole(10, 1)),
        ),
        "conv2.pad is 1 and should be 2",
    ),
    "a dilation": (
        lambda: caffemodel(
            changed(), rows=settings("conv3", whole(3, 1) + whole(18, 2))
        ),
        "conv3.dilation is 2 and should be 1",
    ),
    "a pooling window that is wider": (
        lambda: caffemodel(
            changed(), rows=settings("pool1", whole(5, 3) + whole(6, 5) + whole(3, 2))
        ),
        "pool1.kernel_w is 5 and should be 3",
    ),
    "pooling over the whole map": (
        lambda: caffemodel(changed(), rows=settings("pool5", whole(12, 1))),
        "pool5.global_pooling is 1 and should be 0",
    ),
    "sizes that round down": (
        lambda: caffemodel(
            changed(), rows=settings("pool5", whole(2, 3) + whole(3, 2) + whole(13, 1))
        ),
        "pool5.round_mode is 1 and should be 0",
    ),
    "two last layers": (
        lambda: caffemodel(
            changed(fc8_b=(zeros(3, UNITS), zeros(3))),
            rows=[*graph("AlexNet"), ("fc8_b", "InnerProduct", "fc7", b"")],
        ),
        "more than one last layer: fc8_b",
    ),
}


SAME = {
    "strides by side": ("conv1", whole(4, 11) + whole(13, 4) + whole(14, 4)),
    "kernels by side": ("conv1", whole(11, 11) + whole(12, 11) + whole(6, 4)),
    "padding by side": ("conv2", whole(9, 2) + whole(10, 2) + whole(5, 2)),
    "a list of two": ("conv2", whole(3, 2) + whole(3, 2) + whole(5, 2)),
    "a packed list": ("conv2", block(3, b"\2\2") + whole(5, 2)),
    "windows by side": ("pool1", whole(5, 3) + whole(6, 3) + whole(7, 2) + whole(8, 2)),
    "a dilation of one": ("conv3", whole(3, 1) + whole(18, 1)),
}


@pytest.mark.parametrize("name", SAME)
def test_other_ways_to_write_settings(name, files, tmp_path):
    source = tmp_path / "net.caffemodel"
    source.write_bytes(caffemodel(changed(), rows=settings(*SAME[name])))
    found = network_file.read(converted(source, tmp_path))
    same_params(found, network_file.read(files["caffe_alexnet"]))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    content, message = REFUSED[name]
    source = tmp_path / "net.caffemodel"
    source.write_bytes(content())
    with pytest.raises(UserError, match=message) as raised:
        converted(source, tmp_path)
    assert str(source) in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_a_preset_against_the_file(tmp_path):
    source = write_source("new", "caffenet", tmp_path)
    with pytest.raises(UserError, match="--preset caffe_alexnet: .* holds caffenet"):
        converted(source, tmp_path, preset="caffe_alexnet")


def archive(**arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def with_member(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as whole_file:
        whole_file.writestr("conv1_w.npy", content)
    return file.getvalue()


def stored(array, **options):
    content = io.BytesIO()
    np.save(content, array, **options)
    return content.getvalue()


def huge_header():
    content = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (2**45,)}
    np.lib.format.write_array_header_1_0(content, header)
    return with_member(content.getvalue())


class Program:
    """A pickle that creates a file if it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


REFUSED_ARCHIVES = {
    "empty": (lambda: b"", "is not a numpy archive, or is damaged"),
    "text": (lambda: b"conv1_w = 1", "is not a numpy archive"),
    "another beginning": (
        lambda: b"X" + archive(conv1_w=zeros(3))[1:],
        "is not a numpy archive",
    ),
    "cut": (lambda: archive(conv1_w=zeros(999))[:-500], "is not a numpy archive"),
    "a damaged array": (
        lambda: archive(conv1_w=zeros(999)).replace(b"\0" * 99, b"x" * 99, 1),
        "is not a numpy archive",
    ),
    "one array": (lambda: stored(zeros(3)), "holds one array and no names"),
    "a larger array than its bytes": (huge_header, "is not a numpy archive"),
    "an unknown name": (lambda: archive(layer1=zeros(3)), "has an array 'layer1'"),
    "a name twice": (
        lambda: archive(conv1_w=zeros(3), conv1_weights=zeros(3)),
        "has conv1.weight twice",
    ),
    "no preset": (lambda: archive(conv1_w=zeros(3)), "say which with --preset"),
    "ours without its arrays": (
        lambda: archive(alexnet_jax="{}"),
        "its text 'alexnet_jax' is damaged",
    ),
    "a pickle in it": (
        lambda: with_member(stored(np.array([{}]), allow_pickle=True)),
        "holds a pickle, which could run code: it is not loaded",
    ),
    "a bare pickle": (lambda: pickle.dumps({"conv1": 1}), "holds a pickle"),
}


@pytest.mark.parametrize("name", REFUSED_ARCHIVES)
def test_refused_archives(name, tmp_path):
    content, message = REFUSED_ARCHIVES[name]
    source = tmp_path / "net.npz"
    source.write_bytes(content())
    with pytest.raises(UserError, match=message) as raised:
        converted(source, tmp_path)
    assert str(source) in str(raised.value)


def test_an_archive_that_would_fill_the_memory(tmp_path, monkeypatch):
    """Its small members declare huge sizes; they are not unpacked."""
    monkeypatch.setattr(npz, "_MAX_BYTES", 2**20)
    source = tmp_path / "net.npz"
    source.write_bytes(with_member(b"\0" * 2**24))
    assert source.stat().st_size < 2**15
    with pytest.raises(UserError, match="would need 0.0156 GiB of memory"):
        converted(source, tmp_path)


@pytest.mark.parametrize("suffix", ["npy", "npz", "caffemodel", "safetensors", "pth"])
def test_no_pickle_is_loaded(suffix, tmp_path):
    victim = tmp_path / "it has run"
    source = tmp_path / f"net.{suffix}"
    if suffix == "npy":
        np.save(source, np.array(Program(victim), dtype=object), allow_pickle=True)
    else:
        source.write_bytes(pickle.dumps(Program(victim)))
    with pytest.raises(UserError):
        converted(source, tmp_path)
    assert not victim.exists()


@pytest.mark.parametrize("style", ["dictionaries", "lists", "flat"])
def test_the_way_out_of_a_pickle_works(style, tmp_path, files):
    """The message has a command; it makes an archive that is converted."""
    arrays = arrays_of("caffe_alexnet")
    content = {
        "dictionaries": {
            layer: dict(zip(("weights", "biases"), pair, strict=True))
            for layer, pair in channels_last(arrays).items()
        },
        "lists": {layer: list(pair) for layer, pair in arrays.items()},
        "flat": flat(arrays, "_w", "_b"),
    }[style]
    source = tmp_path / "bvlc.npy"
    np.save(source, np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(UserError) as raised:
        converted(source, tmp_path, preset="caffe_alexnet")
    command = str(raised.value).splitlines()[-1].strip()
    assert command.startswith('python -c "')
    command = command.replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    dest = converted(tmp_path / "bvlc.npz", tmp_path, preset="caffe_alexnet")
    same_params(network_file.read(dest), network_file.read(files["caffe_alexnet"]))


TORCHVISION_REFUSED = {
    "an array too many": (
        {"features.1.weight": zeros(64)},
        r"the network has no features.1.weight \[64\]",
    ),
    "another width": (
        {"features.3.weight": zeros(256, 64, 5, 5)},
        r"features.3.weight is \[256, 64, 5, 5\] and should be \[192, 64, 5, 5\]",
    ),
    "integers": (
        {"features.0.bias": np.zeros(64, np.int8)},
        "features.0.bias is int8 and should be float32",
    ),
    "no classes": (
        {"classifier.6.bias": zeros(0)},
        "--model.fc8.features 0 must be greater than 0",
    ),
}


@pytest.mark.parametrize("name", TORCHVISION_REFUSED)
def test_refused_state_dicts(name, tmp_path):
    more, message = TORCHVISION_REFUSED[name]
    source = tmp_path / "net.safetensors"
    save_file(state_dict(arrays_of("torchvision_alexnet")) | more, source)
    with pytest.raises(UserError, match=message):
        converted(source, tmp_path)


def test_other_images_than_torchvisions_are_remembered(files, tmp_path):
    """A state_dict has no place for a mean image; a file of ours says so."""
    found = network_file.read(files["torchvision_alexnet"])
    other = tmp_path / "other.safetensors"
    network_file.write(
        other, dataclasses.replace(found, mean_image=found.mean_image + 1)
    )
    state = tmp_path / "state.safetensors"
    convert.run(convert.Options(source=other, dest=state, torchvision=True))
    with pytest.raises(UserError, match="does not hold its mean image"):
        converted(state, tmp_path)


@pytest.mark.parametrize(
    "shape, message",
    [
        ((3, 227, 227), r"is \[3, 227, 227\] and should be \[3, 256, 256\]"),
        ((256, 256, 3), r"is \[256, 256, 3\] and should be"),
    ],
)
def test_means_that_do_not_fit(shape, message, tmp_path):
    np.save(tmp_path / "mean.npy", zeros(*shape))
    source = write_source("new", "caffenet", tmp_path)
    with pytest.raises(UserError, match=message):
        converted(source, tmp_path, mean=tmp_path / "mean.npy")
    np.save(tmp_path / "mean.npy", zeros(3) - 1)
    with pytest.raises(UserError, match="values outside 0-255"):
        converted(source, tmp_path, mean=tmp_path / "mean.npy")
    with pytest.raises(UserError, match="no.binaryproto does not exist"):
        converted(source, tmp_path, mean=tmp_path / "no.binaryproto")


def test_places(files, digits_run, tmp_path):
    def refused(dest, message, source=files["caffenet"], **options):
        with pytest.raises(UserError, match=message):
            convert.run(convert.Options(source=source, dest=dest, **options))

    taken = tmp_path / "taken.npz"
    taken.touch()
    refused(taken, "already exists")
    refused(tmp_path / "a.bin", "should end in .safetensors, .npz, .pth")
    refused(tmp_path / "a.npz", "should end in .safetensors, .pth", torchvision=True)
    refused(tmp_path / "none" / "a.npz", "its folder does not exist")
    refused(tmp_path / "a.npz", "no.npz does not exist", source=tmp_path / "no.npz")
    refused(tmp_path / "a.npz", "--checkpoint best: .* is a file", checkpoint="best")
    theirs = files["torchvision_alexnet"]
    for options in ({"preset": "caffenet"}, {"mean": tmp_path / "m.npy"}):
        message = "is for Caffe's weights, and .* holds others"
        for source in (theirs, files["caffenet"], digits_run):
            refused(tmp_path / "a.npz", message, source=source, **options)
    other = tmp_path / "weights.h5"
    other.touch()
    refused(tmp_path / "a.npz", "should end in .safetensors, .npz", source=other)


def test_the_command(files, tmp_path, capsys):
    said = convert.run(
        convert.Options(source=files["caffe_alexnet"], dest=tmp_path / "a.npz")
    )
    first, *_, last = said.splitlines()
    assert first == "2,928,778 parameters, 10 classes"
    assert last.startswith(f"wrote {tmp_path}/a.npz, 12.")
    assert "channel_order: BGR" in said and "(all of it); the centre 227x227" in said
    result = subprocess.run(
        [sys.executable, "-m", "alexnet_jax.convert", "no.npz", tmp_path / "b.npz"],
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: no.npz does not exist: name a run")
    assert len(result.stderr.splitlines()) == 1


def test_nothing_is_half_written(files, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(npz.np, "savez", full)
    with pytest.raises(OSError):
        convert.run(convert.Options(source=files["caffenet"], dest=tmp_path / "a.npz"))
    assert not list(tmp_path.iterdir())
