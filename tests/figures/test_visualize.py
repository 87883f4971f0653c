"""visualize: what the figures show, exactly; files with content; mistakes."""

import json
import math
import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import pytest
from PIL import Image
from stand_ins import encoded, picture

import alexnet_jax
from alexnet_jax import visualize
from alexnet_jax.data.source import open_source
from alexnet_jax.errors import UserError
from alexnet_jax.figures import curves, drawing, kernels, maps, neighbours, predictions
from alexnet_jax.training import metrics_writer

FIGURES = ("kernels", "predictions", "neighbours", "curves", "maps")


@pytest.fixture(scope="module")
def model(digits_run):
    return alexnet_jax.load(digits_run)


@pytest.fixture(scope="module")
def test_set(model):
    return open_source(model.network.config.data, "test")


@pytest.fixture(scope="module")
def train_set(model):
    return open_source(model.network.config.data, "train")


def read(source, indices):
    size = source.image_size
    image = np.zeros((len(indices), size, size, 3), np.uint8)
    label = np.zeros(len(indices), np.int32)
    source.read(np.asarray(indices), image, label)
    return image, label


def test_colour_share():
    generator = np.random.default_rng(0)
    grey = np.repeat(generator.normal(size=(5, 5, 1, 4)), 3, axis=2)
    assert kernels.colour_share(grey) == pytest.approx(0)
    colour = grey * np.array([1, -1, 0])[None, None, :, None]
    assert kernels.colour_share(colour) == pytest.approx(1)
    noise = generator.normal(size=(5, 5, 3, 4000))
    assert kernels.colour_share(noise) == pytest.approx(2 / 3, abs=0.01)
    mixed = np.concatenate([grey, 2 * colour], axis=-1)
    shares = kernels.colour_shares(mixed)
    np.testing.assert_allclose(shares, [0] * 4 + [1] * 4, atol=1e-12)
    # 3 g^2 of grey beside 4 * 2 g^2 of colour.
    assert kernels.colour_share(mixed) == pytest.approx(8 / 11)


def test_kernels_are_those_of_the_network(model):
    columns = kernels.collect(model.network)
    kernel = np.asarray(model.network.params["conv1"]["kernel"], np.float64)
    assert [len(column.images) for column in columns] == [8, 8]
    for place in range(16):
        one = kernel[..., place]
        expected = 0.5 + one / (2 * np.abs(one).max())
        np.testing.assert_allclose(columns[place // 8].images[place % 8], expected)


def test_tiles():
    images = np.arange(5)[:, None, None] * np.ones((5, 2, 3))
    sheet = drawing.tiles(images, 3, gap=1, fill=9.0)
    assert sheet.tolist() == [
        [0, 0, 0, 9, 1, 1, 1, 9, 2, 2, 2],
        [0, 0, 0, 9, 1, 1, 1, 9, 2, 2, 2],
        [9] * 11,
        [3, 3, 3, 9, 4, 4, 4, 9, 9, 9, 9],
        [3, 3, 3, 9, 4, 4, 4, 9, 9, 9, 9],
    ]


def test_best_labels(model, test_set):
    image, label = read(test_set, range(30))
    found = predictions.collect(model, image, label, [""] * 30)
    probabilities = model.predict(image).probabilities
    for one, row, true in zip(found, probabilities, label, strict=True):
        order = np.argsort(-row, kind="stable")[:5]
        assert one.title == str(true)
        assert one.labels == [str(place) for place in order]
        np.testing.assert_allclose(one.probabilities, row[order])
        assert one.right == (order.tolist().index(true) if true in order else None)
    unknown = predictions.collect(model, image[:1], np.array([-1]), ["one.png"])
    assert unknown[0].title == "one.png" and unknown[0].right is None


def test_nearest_images(model, test_set, train_set):
    """The same as from the features of all training images at once."""
    queries, label = read(test_set, [3, 5])
    titles = [str(one) for one in label]
    names = [str(digit) for digit in range(10)]
    found = neighbours.collect(
        model,
        queries,
        titles,
        train_set,
        names,
        layer="fc7",
        count=4,
        num_workers=None,
    )
    image, label = read(train_set, range(train_set.num_examples))
    rows = model.features(image, ["fc7"])["fc7"].astype(np.float64)
    for one, query in zip(found, model.features(queries, ["fc7"])["fc7"], strict=True):
        distance = np.linalg.norm(rows - query, axis=1)
        np.testing.assert_allclose(one.distances, np.sort(distance)[:4], atol=1e-5)
        order = np.argsort(distance, kind="stable")[:4]
        assert one.titles == [str(label[place]) for place in order]
        np.testing.assert_array_equal(one.images, image[order])


def test_maps(model, test_set):
    image, _ = read(test_set, [0])
    layers = maps.collect(model, image[0])
    assert [layer.name for layer in layers] == [
        "conv1",
        "conv2",
        "conv3",
        "conv4",
        "conv5",
    ]
    for layer in layers:
        whole = model.features(image, [layer.name])[layer.name][0]
        half = whole.shape[-1] // 2
        means = whole.mean(axis=(0, 1))
        for column, (shown, places) in enumerate(
            zip(layer.maps, layer.places, strict=True)
        ):
            own = np.arange(column * half, (column + 1) * half)
            assert set(places) <= set(own)
            np.testing.assert_allclose(means[places], np.sort(means[own])[::-1][:8])
            np.testing.assert_array_equal(shown, np.moveaxis(whole[..., places], -1, 0))


def test_curves_are_the_records(digits_run):
    lines = (digits_run / metrics_writer.FILE).read_text().splitlines()
    records = [json.loads(line) for line in lines]
    found = curves.collect(digits_run)
    for kind, columns in (("train", found.train), ("eval", found.test)):
        for name in ("epoch", "loss", "top1_error"):
            assert columns[name] == [r[name] for r in records if r["kind"] == kind]
    assert found.guessing == pytest.approx(math.log(10))
    assert found.drops == []


def test_drops_and_gaps_of_curves(digits_run, tmp_path):
    (tmp_path / "config.json").write_bytes((digits_run / "config.json").read_bytes())
    rates = [0.01, 0.01, 0.001, 0.001, 0.0001]
    lines = [
        {
            **{"kind": "train", "step": i, "epoch": i},
            **{"loss": None, "top1_error": 1, "learning_rate": r},
        }
        for i, r in enumerate(rates)
    ]
    text = "\n".join(map(json.dumps, lines)) + '\n{"kind": "tr'  # being written
    (tmp_path / metrics_writer.FILE).write_text(text)
    found = curves.collect(tmp_path)
    assert found.drops == [2, 4] and len(found.train["epoch"]) == 5
    assert all(map(math.isnan, found.train["loss"]))
    curves.draw(found)


@pytest.mark.parametrize("figure", FIGURES)
def test_figures(digits_run, tmp_path, figure):
    """Both files have content, and the same run gives the same files again."""
    text = visualize.run(
        visualize.Options(figure=figure, workdir=digits_run, out=tmp_path / "one")
    )
    png, svg = (tmp_path / "one" / f"{figure}.{form}" for form in ("png", "svg"))
    assert f"wrote {png}\nwrote {svg}" in text
    pixels = np.asarray(Image.open(png).convert("L"))
    assert min(pixels.shape) > 150 and len(np.unique(pixels)) > 20
    tree = xml.etree.ElementTree.parse(svg)
    assert tree.getroot().tag.endswith("svg") and len(list(tree.iter())) > 50
    options = visualize.Options(figure=figure, workdir=digits_run, out=tmp_path / "two")
    visualize.run(options)
    again = np.asarray(Image.open(tmp_path / "two" / png.name).convert("L"))
    np.testing.assert_array_equal(again, pixels)


def test_figures_of_files(digits_run, tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encoded(picture(0)))
    for figure in ("predictions", "neighbours", "maps"):
        visualize.run(
            visualize.Options(
                figure=figure,
                images=(str(photo),),
                workdir=digits_run,
                out=tmp_path / "figures",
                among=50,
            )
        )
        svg = (tmp_path / "figures" / f"{figure}.svg").read_text()
        assert "photo.jpg" in svg  # as a comment beside its outlines


def test_mistakes(digits_run, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    for options, message in (
        ({"images": (str(tmp_path),), "figure": "maps"}, "bad.png: no image"),
        ({"workdir": tmp_path, "figure": "curves"}, "holds no run"),
        ({"layer": "conv9", "figure": "neighbours"}, "conv9"),
    ):
        with pytest.raises(UserError, match=message):
            visualize.run(visualize.Options(**{"workdir": digits_run} | options))


def test_the_command(digits_run, tmp_path):
    command = [sys.executable, "-m", "alexnet_jax.visualize", "kernels", "--workdir"]
    result = subprocess.run(
        [*command, str(digits_run), "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "column 1" in result.stdout and (tmp_path / "kernels.png").exists()
