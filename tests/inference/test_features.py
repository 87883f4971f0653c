"""features: stages against the oracle, on meshes; files, probe, neighbours."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from stand_ins import encoded, picture

import alexnet_jax
from alexnet_jax import augment, columns, features, model, presets
from alexnet_jax.config import MeshConfig
from alexnet_jax.data import decoding
from alexnet_jax.errors import UserError
from alexnet_jax.inference import (
    activations,
    feature_files,
    linear_probe,
    nearest_neighbors,
)

NET = presets.DIGITS.model
NO_IMAGE = "no image of a format that is read: " + ", ".join(decoding.formats())
LAYERS = ["conv1.linear", "conv2.norm", "pool5", "conv5", "fc7", "fc8"]


@pytest.fixture(scope="module")
def network(digits_run):
    return alexnet_jax.load(digits_run)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures in folders of two classes, and one that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(20):
        kind = folder / ("dark" if seed % 2 else "light")
        kind.mkdir(exist_ok=True)
        pixels = picture(seed) // (4 if seed % 2 else 1)
        (kind / f"{seed:02d}.png").write_bytes(encoded(pixels, "PNG"))
    (folder / "light" / "bad.png").write_text("no image")
    return folder


def oracle_stages(params, x, net):
    """The stages of alexnet2012's graph by the oracle's parts."""
    found = {}
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        layer = getattr(net, name)
        x = jax.lax.conv_general_dilated(
            x,
            params[name]["kernel"],
            (layer.stride, layer.stride),
            [layer.padding, layer.padding],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=2 if name in oracle.GROUPED else 1,
        )
        x = x + params[name]["bias"].reshape(1, 1, 1, -1)
        found[f"{name}.linear"] = x
        if name == "conv1":
            x = found["conv1.norm"] = oracle._norm_over_maps(x)
        x = found[f"{name}.activation"] = jnp.maximum(x, 0.0)
        if name == "conv2":
            x = oracle._norm_over_pixels(oracle._norm_over_maps(x))
            found["conv2.norm"] = x
        if name in ("conv1", "conv2", "conv5"):
            x = found[f"{name}.pool"] = oracle._max_pool_3_2(x)
    for name in ("fc6", "fc7", "fc8"):
        x = found[f"{name}.linear"] = oracle._dense(x, params[name])
        if name != "fc8":
            found[f"{name}.activation"] = jnp.maximum(x, 0.0)
            # The factor of dropout in testing.
            x = 0.5 * found[f"{name}.activation"]
    return found


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2)])
def test_stages_equal_the_oracle(shape):
    """All of them, in the order of the computation, columns side by side."""
    view = 40 * jax.random.normal(jax.random.key(0), (4, 24, 24, 3))
    params = model.AlexNet(NET).init(jax.random.key(1), view, train=False)["params"]
    # Initial kernels hardly tell images apart.
    params = jax.tree.map(lambda w: 3 * w, params)
    expected = oracle_stages(params, view, NET)
    mesh = columns.make_mesh(
        MeshConfig(data=shape[0], column=shape[1]), 2, jax.devices()
    )
    with jax.set_mesh(mesh):
        placed = jax.device_put(params, columns.state_sharding(mesh, params))
        batch = jax.device_put(view, columns.batch_sharding(mesh))
        found = jax.jit(lambda *arrays: model.stages(NET, *arrays))(placed, batch)
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(
            found[name], array, rtol=1e-4, atol=1e-4 * float(jnp.abs(array).max())
        )


def test_shapes_of_2012():
    found = activations.shapes(presets.ALEXNET2012)
    assert list(found)[:8] == [
        "conv1.linear",
        "conv1.norm",
        "conv1.activation",
        "conv1.pool",
        "conv2.linear",
        "conv2.activation",
        "conv2.norm",
        "conv2.pool",
    ]
    assert found["conv1.linear"] == (55, 55, 96)
    assert found["conv5.pool"] == (6, 6, 256)
    assert found["fc7.activation"] == (4096,)
    assert list(found)[-1] == "fc8.linear" and len(found) == 20


@pytest.mark.parametrize(
    "name, stage",
    [
        ("conv5", "conv5.activation"),
        ("fc7", "fc7.activation"),
        ("fc8", "fc8.linear"),
        ("norm2", "conv2.norm"),
        ("pool5", "conv5.pool"),
        ("features.0", "conv1.linear"),
        ("features.12", "conv5.pool"),
        ("classifier.5", "fc7.activation"),
        ("classifier.6", "fc8.linear"),
    ],
)
def test_names(name, stage):
    assert activations.find(name, activations.shapes(presets.ALEXNET2012)) == stage


def test_unknown_names():
    stages = activations.shapes(presets.ALEXNET2012)
    for name in ("conv6", "conv3.pool", "classifier.0", "fc8.activation"):
        with pytest.raises(UserError, match=name):
            activations.find(name, stages)


def test_one_layer_by_a_plain_string(network):
    """A string is one layer name, not a list of letters."""
    images = [picture(0)]
    found = network.features(images, "fc7")
    assert list(found) == ["fc7"]
    np.testing.assert_array_equal(
        found["fc7"], network.features(images, ["fc7"])["fc7"]
    )


def test_torchvision_names_follow_its_network():
    """Its features: conv, ReLU, pool, conv, ReLU, pool, three times conv, ReLU, pool;
    its classifier: dropout, product, ReLU, dropout, product, ReLU, product."""
    stages = []
    for layer in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        stages += [f"{layer}.linear", f"{layer}.activation"]
        if layer in ("conv1", "conv2", "conv5"):
            stages.append(f"{layer}.pool")
    expected = {f"features.{place}": stage for place, stage in enumerate(stages)}
    classifier = ["-", "fc6.linear", "fc6.activation"]
    classifier += ["-", "fc7.linear", "fc7.activation", "fc8.linear"]
    expected |= {
        f"classifier.{place}": stage
        for place, stage in enumerate(classifier)
        if stage != "-"
    }
    assert expected == activations.TORCHVISION


def test_features_are_those_of_the_evaluation_view(network):
    """The images have the right size, so only the crop and the mean differ."""
    size = network.network.config.data.image_size
    pixels = np.stack([picture(seed, size, size) for seed in range(3)])
    view = augment.center_view(
        jnp.asarray(pixels), network.network.mean_image, network.network.config.augment
    )
    params = jax.device_get(network.network.params)
    expected = oracle_stages(params, jax.device_get(view), NET)
    found = network.features(pixels, LAYERS)
    assert list(found) == LAYERS
    for name, array in found.items():
        stage = activations.find(name, network.layers())
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected[stage], rtol=1e-3, atol=1e-3)
    probabilities = network.predict(pixels).probabilities
    np.testing.assert_allclose(
        probabilities, jax.nn.softmax(found["fc8"]), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("form", ["npz", "h5"])
def test_a_file_holds_what_the_model_gives(network, folder, tmp_path, form):
    if form == "h5":
        pytest.importorskip("h5py")
    output = tmp_path / f"features.{form}"
    problems = alexnet_jax.extract_features(
        network,
        [folder],
        layers=LAYERS,
        output=output,
        class_folders=True,
        batch_size=8,
    )
    assert list(problems) == [str(folder / "light" / "bad.png")]
    good = sorted(path for path in folder.rglob("*.png") if path.name != "bad.png")
    found = feature_files.read(output)
    assert found["key"].tolist() == [str(path) for path in good]
    names = found["class_names"].tolist()
    assert [names[label] for label in found["label"]] == [p.parent.name for p in good]
    assert feature_files.layers_of(found) == LAYERS
    expected = network.features(good, LAYERS)
    for name in LAYERS:
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name][:], expected[name], rtol=1e-5, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    if form == "npz":  # as everybody reads it
        with np.load(output) as stored:
            np.testing.assert_array_equal(stored["fc7"], found["fc7"])
            assert stored["key"].tolist() == found["key"].tolist()
        assert isinstance(found["fc7"], np.memmap)


def test_a_split_has_keys_and_labels(digits_run, tmp_path):
    output = tmp_path / "digits.npz"
    problems = alexnet_jax.extract_features(
        digits_run, layers=["fc7"], output=output, split="test[:30]"
    )
    found = feature_files.read(output)
    assert problems == {}
    assert found["key"].tolist() == [str(index) for index in range(30)]
    assert found["label"][:3].tolist() == [0, 5, 0] and len(found["fc7"]) == 30


def test_one_path_and_one_layer(network, folder, tmp_path):
    """A folder, a file, an array, each alone, and the name of one layer."""
    output, key = tmp_path / "f.npz", folder / "dark" / "01.png"
    alexnet_jax.extract_features(
        network, str(folder / "dark"), layers="fc7", output=output
    )
    assert len(feature_files.read(output)["fc7"]) == 10
    expected = network.features(key, "fc7")["fc7"]
    assert expected.shape == (1, 128)
    pixels = decoding.decode(key.read_bytes())
    for one, name in ((key, str(key)), (pixels, "0")):
        alexnet_jax.extract_features(network, one, layers="fc7", output=str(output))
        found = feature_files.read(output)
        assert found["key"].tolist() == [name]
        np.testing.assert_array_equal(found["fc7"], expected)


def test_labels_of_a_table(network, folder, tmp_path):
    output, table = tmp_path / "f.npz", folder / "labels.csv"
    dark = sorted((folder / "dark").iterdir())
    rows = [f"dark/{path.name},class {int(path.stem) % 3}" for path in dark]
    table.write_text("\n".join(["image,label", *rows]))
    options = {"layers": "fc7", "output": output}
    alexnet_jax.extract_features(
        network, folder / "dark", labels=str(table), views=1, **options
    )
    found = feature_files.read(output)
    names = found["class_names"].tolist()
    assert names == ["class 0", "class 1", "class 2"]
    assert [names[label] for label in found["label"]] == [
        f"class {int(path.stem) % 3}" for path in dark
    ]
    output.unlink()
    for images, more, message in (
        (folder, {}, r"images without a row \(11\): .*light/00.png"),
        (folder / "dark", {"class_folders": True}, "choose one"),
        ((), {"split": "test"}, "is for image files, and none are named"),
    ):
        with pytest.raises(UserError, match=message):
            alexnet_jax.extract_features(
                tmp_path / "no network is loaded",
                images,
                labels=table,
                **more,
                **options,
            )
    table.unlink()
    assert list(tmp_path.iterdir()) == []


def test_features_of_crops(network, tmp_path):
    pixels = [picture(seed, 24, 24) for seed in range(3)]
    for place, each in enumerate(pixels):
        (tmp_path / f"{place}.png").write_bytes(encoded(each, "PNG"))
    (tmp_path / "3.png").write_bytes(encoded(picture(3, 28, 28), "PNG"))
    output = tmp_path / "f.npz"
    problems = alexnet_jax.extract_features(
        network, tmp_path, layers="fc7", output=output, views="crop"
    )
    assert list(problems) == [f"{tmp_path}/3.png"]
    found = feature_files.read(output)["fc7"]
    expected = network.features(pixels, "fc7", views="crop")["fc7"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match="none of the images .*28 x 28 pixels"):
        alexnet_jax.extract_features(
            network, tmp_path / "3.png", layers="fc7", output=output, views="crop"
        )


def test_nothing_half_written(network, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    for name in ("f.npz", "f.h5"):
        with pytest.raises(UserError, match="none of the images"):
            alexnet_jax.extract_features(
                network, [tmp_path], layers=["fc7"], output=tmp_path / name
            )
    assert [path.name for path in tmp_path.iterdir()] == ["bad.png"]


def test_nearest_by_hand():
    rows = np.random.default_rng(0).normal(size=(50, 3, 4)).astype(np.float32)
    rows[40] = rows[7]  # as near: the earlier one first
    parts = [rows[:20], rows[20:21], rows[21:]]
    place, distance = nearest_neighbors.nearest(rows[[7, 3]], parts, 6)
    expected = np.sqrt(((rows[None] - rows[[7, 3], None]) ** 2).sum(axis=(2, 3)))
    np.testing.assert_array_equal(
        place, np.argsort(expected, axis=1, kind="stable")[:, :6]
    )
    assert place[0, :2].tolist() == [7, 40]
    np.testing.assert_allclose(distance, np.sort(expected, axis=1)[:, :6], atol=1e-6)
    assert nearest_neighbors.nearest(rows[:1], parts, 99)[0].shape == (1, 50)


def test_nearest_by_angle():
    """Against cosines computed row by row. Lengths do not matter, and zeros have the
    distance 1 from everything."""
    rows = np.random.default_rng(0).normal(size=(50, 3, 4)).astype(np.float32)
    rows[40] = 8 * rows[7]
    rows[20] = -rows[7]
    rows[3] = 0
    place, distance = nearest_neighbors.nearest(
        rows[[7, 3]], [rows[:9], rows[9:]], 50, distance="cosine"
    )
    flat = rows.reshape(50, -1).astype(np.float64)
    cosine = [
        row @ flat[7] / np.sqrt((row @ row) * (flat[7] @ flat[7])) if row.any() else 0
        for row in flat
    ]
    expected = 1 - np.array(cosine)
    np.testing.assert_allclose(distance[0], expected[place[0]], atol=1e-12)
    assert (np.diff(distance[0]) >= 0).all() and sorted(place[0]) == list(range(50))
    assert place[0, :2].tolist() == [7, 40] and distance[0, :2].tolist() == [0, 0]
    assert place[0, -1] == 20 and distance[0, -1] == pytest.approx(2)
    assert place[1].tolist() == list(range(50)) and set(distance[1]) == {1}
    with pytest.raises(UserError, match="distance 'manhattan'"):
        nearest_neighbors.nearest(rows[:1], [rows], 1, distance="manhattan")


def test_linear_probe():
    """Classes that a plane separates are found, random ones are not."""
    generator = np.random.default_rng(0)
    label = np.repeat([0, 1, 2, -1], 30).astype(np.int32)
    rows = generator.normal(size=(120, 8))
    chance = linear_probe.errors(rows, label)
    rows[np.arange(120), label] += 30
    assert linear_probe.errors(rows, label).tolist() == [0, 0, 0, 0, 0]
    assert chance.mean() == pytest.approx(2 / 3, abs=0.15)
    with pytest.raises(UserError, match="0 images with a label"):
        linear_probe.errors(rows, np.full(120, -1))


def test_small_classes_are_left_out():
    """They change nothing, and two classes must remain."""
    generator = np.random.default_rng(0)
    label = np.repeat([0, 1, 2, 3, -1], [30, 30, 4, 5, 6]).astype(np.int32)
    rows = generator.normal(size=(75, 8))
    assert linear_probe.small_classes(label) == {2: 4}
    large = label != 2
    np.testing.assert_array_equal(
        linear_probe.errors(rows, label), linear_probe.errors(rows[large], label[large])
    )
    message = "and the 34 images with a label have 1"
    with pytest.raises(UserError, match=message):
        linear_probe.errors(rows, np.where(np.isin(label, [0, 2]), label, -1))


def run(*images, **options):
    return features.run(features.Options(images=tuple(map(str, images)), **options))


def test_the_command(capsys, digits_run, folder, tmp_path):
    output = tmp_path / "f.npz"
    key = str(folder / "dark" / "01.png")
    unreadable = run(
        workdir=digits_run,
        layers=("conv5", "fc7", str(folder)),  # images after the layers
        output=output,
        class_folders=True,
        linear_probe=True,
        neighbours_of=(key,),
    )
    out, err = capsys.readouterr()
    assert unreadable == 1 and err.endswith(f"bad.png: {NO_IMAGE}\n")
    assert "20 images" in out and "linear probe" in out and "left out" not in out
    found = feature_files.read(output)
    expected = nearest_neighbors.of_key(found, "fc7", key, 6, distance="cosine")
    assert f"nearest to {key} by fc7: cosine distance, key\n" in out
    assert f"{expected[0][0]:.4g}  {expected[0][1]}" in out
    assert key not in [other for _, other in expected] and len(expected) == 6
    # The file by itself.
    assert run(output=output, neighbours_of=(key,), distance="euclidean") == 0
    expected = nearest_neighbors.of_key(found, "fc7", key, 6)
    assert f"{expected[5][0]:.4g}  {expected[5][1]}\n" in capsys.readouterr().out


def test_the_probe_names_the_classes_it_leaves_out(
    capsys, digits_run, folder, tmp_path
):
    table, output = tmp_path / "labels.csv", tmp_path / "f.npz"
    dark = sorted((folder / "dark").iterdir())
    light = [
        path for path in sorted((folder / "light").iterdir()) if path.stem != "bad"
    ]
    rows = [f"{path},{'odd' if path in dark[:3] else 'dark'}" for path in dark]
    rows += [f"{path},light" for path in light]
    table.write_text("\n".join(["image,label", *rows]))
    options = {"workdir": digits_run, "output": output, "linear_probe": True}
    assert run(*dark, *light, labels=table, **options) == 0
    out = capsys.readouterr().out
    assert "left out: 1 class with fewer than 5 images: odd (3)\n" in out


def test_many_small_classes_without_names_are_one_line(capsys):
    label = np.array([*[0] * 5, *[1] * 5, *range(2, 50)])
    rows = np.random.default_rng(0).normal(size=(len(label), 4))
    arrays = {"label": label, "class_names": np.array([], str), "fc7": rows}
    features._print_probe(arrays, ["fc7"])
    first, *_ = capsys.readouterr().out.splitlines()
    listed = ", ".join(f"{number} (1)" for number in range(2, 12))
    assert first == f"left out: 48 classes with fewer than 5 images: {listed}, ..."


def test_the_probe_refuses_images_without_labels(capsys, tmp_path, network, folder):
    """Before the network is loaded; and an existing file before anything is printed."""
    output = tmp_path / "f.npz"
    message = "the images have no labels. Labels come from --labels, --class-folders"
    with pytest.raises(UserError, match=message):
        run(folder, workdir=tmp_path / "nix", output=output, linear_probe=True)
    alexnet_jax.extract_features(network, folder, layers="fc7", output=output)
    capsys.readouterr()
    with pytest.raises(UserError, match=r"images in .*f.npz have no labels"):
        run(output=output, linear_probe=True)
    assert capsys.readouterr().out == ""


def test_the_list(digits_run):
    command = [sys.executable, "-m", "alexnet_jax.features", "--list"]
    result = subprocess.run(
        [*command, "--workdir", str(digits_run)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["conv5.pool", "3", "x", "3", "x", "32", "pool5,", "features.12"] in lines


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "--output"),
        ({"output": "x.txt", "images": ("x",)}, "end in .npz or .h5"),
        ({"output": "x.npz"}, "no images"),
        ({"output": "x.npz", "images": ("x",)}, "--workdir"),
        ({"output": "nix/x.npz", "images": ("x",)}, "its folder does not exist"),
        ({"output": "nix.npz", "linear_probe": True}, "not a feature file"),
    ],
)
def test_mistakes(monkeypatch, tmp_path, options, message):
    monkeypatch.chdir(tmp_path)
    if "output" in options:
        options = options | {"output": tmp_path / options["output"]}
    with pytest.raises(UserError, match=message):
        features.run(features.Options(**options))
