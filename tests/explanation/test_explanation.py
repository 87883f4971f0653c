"""explain without a browser: its content against the network, and the file."""

import base64
import dataclasses
import json
import re

import jax
import numpy as np
import pytest
from any_network import CONFIGS, random_network, with_layers
from PIL import Image

import alexnet_jax
from alexnet_jax import augment, explain, model, presets, response_norm, trained
from alexnet_jax.columns import make_mesh
from alexnet_jax.config import MeshConfig
from alexnet_jax.data import image_statistics
from alexnet_jax.errors import UserError
from alexnet_jax.explanation import (
    activity,
    content,
    figure1,
    history,
    learned,
    maps,
    norms,
    packing,
    page,
    pools,
    structure,
    subject,
    views,
)
from alexnet_jax.inference.trained_model import Model
from alexnet_jax.weights import network_file, operations


def floats(text, *shape):
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(shape)


def pixels(text, *shape):
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


@pytest.fixture(scope="module")
def digits(digits_run, digits_dir):
    """The subject of a page about the run."""
    return subject.collect(
        digits_run,
        alexnet_jax.load(digits_run),
        (),
        data_dir=digits_dir,
        seed=0,
        num_workers=1,
    )


@pytest.fixture(scope="module")
def found(digits):
    return content.collect(digits)


def test_images_are_of_different_classes(digits, found):
    assert digits.shown.label.tolist() == list(range(8))
    shown = pixels(found["images"]["pixels"], 8, 28, 28, 3)
    np.testing.assert_array_equal(shown, digits.shown.images)


def test_parameters_and_bytes_of_layers(digits, found):
    layers = {one["name"]: one for one in found["layers"]}
    total = sum(one.get("parameters", 0) for one in layers.values())
    assert total == found["parameters"] == 93_674
    # By hand: the pooled maps of conv2, 6x6x32 of 4 bytes; conv5, 3x3x32; 128 units.
    passed = {name: one.get("bytes") for name, one in layers.items()}
    assert passed == {
        "image": None,
        **dict.fromkeys(("conv1", "conv2", "conv4", "conv5"), 0),
        "conv3": 6 * 6 * 32 * 4,
        "fc6": 3 * 3 * 32 * 4,
        "fc7": 128 * 4,
        "fc8": 128 * 4,
    }
    assert layers["conv2"]["products"] == 12 * 12 * 32 * 5 * 5 * 8
    assert layers["fc6"]["products"] == 3 * 3 * 32 * 128


FIELDS = {"digits": presets.DIGITS, "windows": CONFIGS["windows at the edge"]}


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name):
    """A unit depends on the pixels of its field and on no others: by gradients of a
    network without zeros at its activations."""
    config = FIELDS[name]
    linear = with_layers(
        dataclasses.replace(
            config, model=dataclasses.replace(config.model, activation="tanh")
        )
    )
    size = config.augment.crop_size
    params = jax.tree.map(
        lambda array: np.full_like(array, 1e-3), random_network(linear).params
    )
    view = np.random.default_rng(0).uniform(0.1, 1, (1, size, size, 3))
    fields = structure.fields_of(operations.of_network(random_network(linear)))
    for layer in ("conv1", "conv2", "conv3", "conv5"):
        stage = f"{layer}.activation"

        def unit(view, stage=stage):
            values = model.stages(linear.model, params, view)[stage]
            return values[0, 1, 2].sum()

        gradient = np.asarray(jax.grad(unit)(view.astype(np.float32)))
        seen = np.argwhere(np.abs(gradient[0]).sum(-1) > 0)
        field = fields[stage]
        for axis, place in ((0, 1), (1, 2)):
            first = field.first + place * field.step
            ends = max(0, first), min(size, first + field.size) - 1
            low, high = seen[:, axis].min(), seen[:, axis].max()
            # Not each pixel is the largest of its window.
            assert ends[0] <= low <= high <= ends[1]
            assert high - low > 0.5 * (ends[1] - ends[0]), (layer, ends)


def test_maps_are_the_activations(digits, found):
    """To half a level; and where each is largest."""
    for name in ("conv1", "conv3"):
        one, full = found["maps"][name], digits.stages[f"{name}.activation"]
        side = one["side"]
        for index, text in enumerate(one["levels"]):
            levels = pixels(text, -1, side, side)
            expected = np.moveaxis(full[index], -1, 0)
            scale = (one["high"][index] - one["low"][index]) / 255
            assert np.abs(levels * scale - expected).max() <= scale * 0.51
            for place, (row, column) in enumerate(one["largest"][index]):
                assert expected[place, row, column] == expected[place].max()
    logits = floats(found["maps"]["fc8"]["units"], 8, 10)
    np.testing.assert_array_equal(logits, digits.stages["fc8.linear"])


def test_a_large_network_has_its_most_active_maps(digits, monkeypatch):
    monkeypatch.setattr(subject, "_PARAMETERS", 1000)
    monkeypatch.setattr(maps, "_MAPS_OF_LARGE", 3)
    monkeypatch.setattr(maps, "_SIDE", 12)
    one = maps.collect(digits)["conv1"]
    strength = digits.stages["conv1.activation"].mean(axis=(0, 1, 2))
    for column in (0, 1):
        own = [place for place in one["places"] if place // 8 == column]
        order = np.argsort(-strength[8 * column : 8 * column + 8])[:3]
        assert own == sorted(8 * column + order)
    assert (one["size"], one["side"]) == (24, 12)
    assert content.collect(digits)["network"] is None


def test_share_of_silent_units(digits, found):
    """Against all activations of the candidates."""
    stages = digits.model.features(list(digits.candidates.images), ["conv2", "fc6"])
    shares = found["activity"]["shares"]
    for name, values in stages.items():
        halves = np.split(values == 0, 2, axis=-1)
        np.testing.assert_allclose(
            shares[name], [half.mean() for half in halves], atol=2e-5
        )


def test_saturated_units_of_tanh(digits):
    tanh = random_network(CONFIGS["tanh"])
    params = {"params": tanh.params}
    config = tanh.config
    image = digits.shown.images
    shares = activity.silent(params["params"], image, tanh.mean_image, config=config)
    view = augment.center_view(image, tanh.mean_image, config.augment)
    expected = model.stages(config.model, tanh.params, view)["conv1.activation"]
    share = (np.abs(expected) > 0.99).mean(axis=(1, 2))
    np.testing.assert_allclose(shares["conv1.activation"], share, atol=1e-6)


def test_norms_have_the_input_of_the_normalisation(digits, found):
    """Normalised again, it is the stage of the network."""
    one = found["norms"][0]
    values = floats(one["values"], 8, one["side"], one["side"], one["maps"])
    again = response_norm.local_response_norm(
        values,
        size=one["size"],
        k=one["k"],
        alpha=one["alpha"],
        beta=one["beta"],
        alpha_divided_by_n=one["alpha_divided_by_n"],
        num_columns=2,
    )
    step = one["step"]
    expected = digits.stages["conv1.norm"][:, ::step, ::step]
    np.testing.assert_allclose(again, expected, rtol=1e-5, atol=1e-5)
    assert [norm["layer"] for norm in found["norms"]] == ["conv1", "conv2"]
    assert all(norm["exists"] for norm in found["norms"])


def test_pool_has_the_input_of_pooling(digits, found):
    one = found["pool"]
    levels = pixels(one["levels"], 8, len(one["places"]), one["side"], one["side"])
    scale = (one["high"] - one["low"]) / 255
    values = one["low"] + levels * scale
    stage = digits.stages[f"{one['layer']}.pool"]
    for place, map in enumerate(one["places"]):
        first = values[:, place, :3, :3].max(axis=(1, 2))
        np.testing.assert_allclose(first, stage[:, 0, 0, map], atol=0.51 * scale)


def test_ten_views_are_those_of_predict(digits, found):
    mean = np.array(found["views"]["probabilities"]).mean(axis=1)
    images = list(digits.shown.images)
    expected = digits.model.predict(images, views=10).probabilities
    np.testing.assert_allclose(mean, expected, atol=2e-5)
    one = np.array(found["views"]["probabilities"])[:, 4]
    centre = digits.model.predict(images).probabilities
    np.testing.assert_allclose(one, centre, atol=2e-5)
    np.testing.assert_allclose(found["dropout"]["test"], centre, atol=2e-5)


def test_colours_are_those_of_the_run(digits, digits_run):
    statistics = image_statistics.load(digits_run / image_statistics.FILE)
    stddev, _ = image_statistics.principal_components(statistics.covariance)
    colors = views.collect(digits)["colors"]
    np.testing.assert_allclose(colors["stddev"], stddev, atol=1e-4)
    assert colors["images"] is None


def test_masks_differ_and_average(found):
    passes = np.array(found["dropout"]["passes"])
    assert passes.shape == (8, 8, 10)
    np.testing.assert_allclose(passes.sum(-1), 1, atol=1e-4)
    assert len(np.unique(passes[0], axis=0)) == 8


def test_history_of_a_run_and_of_a_shipped_network(digits_run, digits_dir, found):
    run = found["history"]
    assert run["test"]["top1_error"][-1] == pytest.approx(
        run["result"]["top1_error"], abs=1e-5
    )
    assert len(run["test"]["epoch"]) == 2 and run["train"] is not None
    shipped = alexnet_jax.load("digits").network
    record = history.collect(trained.locate("digits"), shipped.config)
    assert record["drops"] == [30, 36] and record["train"] is None
    assert record["result"]["top1_error"] == pytest.approx(3 / 360)
    assert str(digits_dir) not in json.dumps(run) + json.dumps(record)


def test_mistakes_and_predictions(digits, found):
    matrix = found["learned"]["mistakes"]
    counts = np.array(matrix["counts"])
    answers = digits.model.predict(list(digits.candidates.images)).probabilities
    truth = digits.candidates.label
    assert matrix["images"] == counts.sum() == len(truth)
    assert np.trace(counts) == (answers.argmax(1) == truth).sum()
    shown = found["learned"]["predictions"]
    assert {one["correct"] for one in shown} == {True, False} and len(shown) == 12


def test_neighbours_are_limited_by_work(digits, monkeypatch):
    products = sum(one.get("products", 0) for one in structure.collect(digits))
    monkeypatch.setattr(learned, "_WORK", 99.5 * products)
    nearest = learned.collect(digits)["neighbours"]
    assert (nearest["among"], nearest["of"]) == (99, 1437)


def test_figure1_is_a_copy_of_the_record():
    """The package has the record of results/, if there is one."""
    results = subject.Path(__file__).parents[2] / "results" / "records"
    recorded = [
        one
        for one in map(json.loads, (p.read_text() for p in results.glob("*.json")))
        if one["claim"] == "figure1"
    ]
    if not recorded:
        assert figure1.collect() is None
        pytest.skip("no record of Figure 1 in results/records")
    assert json.loads(figure1.RECORD.read_text()) in recorded


def test_figure1_is_shown_if_recorded(tmp_path, monkeypatch):
    curve = [{"epoch": 1, "top1_error": 0.4}]
    run = {"activation": "relu", "epochs": 7, "curve": curve}
    parts = {"net": "19pct", "limit": 0.25, "result": {"ratio": 6}, "runs": [run]}
    record = parts | {"command": "python", "minutes": 3}
    (tmp_path / "figure1.json").write_text(json.dumps(record))
    monkeypatch.setattr(figure1, "RECORD", tmp_path / "figure1.json")
    assert figure1.collect() == parts | {"command": "python"}


OTHERS = ("caffenet", "torchvision_alexnet", "tanh", "without layers", "four columns")


@pytest.mark.parametrize("name", [*OTHERS, "late norm", "windows at the edge"])
def test_other_networks_have_content(name):
    """As strict JSON, without a dataset."""
    one = random_network(CONFIGS[name])
    mesh = make_mesh(
        MeshConfig(data=1, column=1), one.config.model.num_columns, [jax.devices()[0]]
    )
    with jax.set_mesh(mesh):
        loaded = Model(one.on_devices(mesh), mesh)
    size = one.config.data.image_size
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    stages = loaded.features(list(images), list(loaded.layers()))
    shown = subject.Shown(images, np.array([0, -1], np.int32), ["a", "b"])
    about = subject.Subject(
        path=subject.Path("net.safetensors"),
        model=loaded,
        shown=shown,
        stages=stages,
        candidates=None,
        training=None,
        num_workers=1,
    )
    for part in (structure, maps, activity, norms, pools, learned):
        json.dumps(part.collect(about), allow_nan=False)


def test_levels_and_blocks():
    assert pixels(packing.levels(np.array([-1.0, 0, 1]), -1, 1), 3).tolist() == [
        *(0, 128, 255)
    ]
    assert packing.rounded(np.array([1.23456789, np.nan])) == [1.23457, None]
    image = np.arange(36, dtype=np.float32).reshape(1, 6, 6)
    small = packing.shrunk(image, 3)
    assert small.shape == (1, 3, 3) and small[0, 0, 0] == image[0, :2, :2].mean()
    assert packing.shrunk(image, 6) is image


# The page.


def test_names_cannot_leave_their_element(found):
    """Nor the title; and they come back unchanged."""
    evil = "</script><script>alert(1)</script><!--&amp;{{script}}"
    text = page.render(found | {"title": evil, "classes": [evil] * 10})
    assert text.count("</script>") == 2 and "alert(1)</script" not in text
    assert "<!--&amp;" not in text
    stored = re.search(r'id="content">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(stored)["classes"][0] == evil


def test_policy_fits_what_it_allows(found):
    """The hashes are those of the style and the script; and nothing is loaded."""
    text = page.render(found)
    policy = re.search(r'Policy" content="(.*?)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data: blob:; style-src")
    for name in ("style", "script"):
        inner = re.findall(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
        assert len(inner) == 1 and page._hash(inner[0]) in policy
    assert not re.search(r'(src|href)="(?!#)', text)
    outside = re.findall(r"https?://[^\"' ]+", text)
    assert set(outside) <= {"http://www.w3.org/2000/svg"}


def test_all_scripts_are_used():
    listed = {f"{name}.js" for name in page.SCRIPTS}
    assert listed == {path.name for path in page.WEB.glob("*.js")}


def test_the_command(digits_run, digits_dir, tmp_path):
    """Twice the same bytes, in the run directory by default."""
    options = explain.Options(workdir=digits_run, data_dir=digits_dir, out=tmp_path)
    said = explain.run(options)
    path = tmp_path / "index.html"
    first = path.read_bytes()
    assert said.startswith(f"wrote {path}, {len(first) / 1e6:.1f} MB")
    assert len(first) < 2e6
    explain.run(options)
    assert path.read_bytes() == first
    assert str(digits_run).encode() not in first
    assert [one.name for one in tmp_path.iterdir()] == ["index.html"]


def test_own_images_need_no_dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    picture = tmp_path / "<b>mine<b>.png"
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(picture)
    options = explain.Options(
        images=(str(picture),), workdir=subject.Path("cifar10"), out=tmp_path / "out"
    )
    explain.run(options)
    text = (tmp_path / "out" / "index.html").read_text()
    assert "<b>mine" not in text and len(text) < 6e6
    no_images = dataclasses.replace(options, images=())
    with pytest.raises(UserError, match="cifar10.* Or name images"):
        explain.run(no_images)


def test_the_largest_live_network_fits(digits, tmp_path):
    """A network of a million parameters stays under 6 MB."""
    image = {"image_size": 64}
    config = dataclasses.replace(
        presets.TINY_IMAGENET,
        data=dataclasses.replace(presets.CIFAR10.data, **image),
        model=presets.CIFAR10.model,
    )
    wide = with_layers(config, fc6={"features": 240}, fc7={"features": 200})
    one = random_network(wide)
    assert 950_000 < one.num_parameters <= 1_000_000
    network_file.write(tmp_path / "net.safetensors", one)
    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    for index, image in enumerate(noise):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    explain.run(
        explain.Options(
            images=(*map(str, sorted(tmp_path.glob("*.png"))),),
            workdir=tmp_path / "net.safetensors",
            out=tmp_path,
        )
    )
    assert (tmp_path / "index.html").stat().st_size <= 6e6
