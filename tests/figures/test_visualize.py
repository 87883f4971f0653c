"""visualize: what the figures show, exactly; files with content; mistakes."""

import dataclasses
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
from alexnet_jax import presets, visualize
from alexnet_jax.data.source import open_source
from alexnet_jax.errors import UserError
from alexnet_jax.figures import (
    curves,
    drawing,
    kernels,
    maps,
    neighbours,
    network,
    overview,
    predictions,
)
from alexnet_jax.training import metrics_writer

FIGURES = ("kernels", "predictions", "neighbours", "curves", "maps", "overview")


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


def with_mean(network, mean_image):
    return dataclasses.replace(network, mean_image=mean_image)


def test_kernels_are_those_of_the_network(model):
    """Those of a network for colour images, whose mean image has colour."""
    mean = np.random.default_rng(0).uniform(0, 255, (28, 28, 3))
    columns = kernels.collect(with_mean(model.network, mean))
    kernel = np.asarray(model.network.params["conv1"]["kernel"], np.float64)
    assert [len(column.images) for column in columns] == [8, 8]
    for place in range(16):
        one = kernel[..., place]
        expected = 0.5 + one / (2 * np.abs(one).max())
        np.testing.assert_allclose(columns[place // 8].images[place % 8], expected)


def test_kernels_of_grey_images_are_grey(model):
    """The sum over the channels, as it acts on an image with three equal channels."""
    kernel = np.asarray(model.network.params["conv1"]["kernel"], np.float64).sum(axis=2)
    columns = kernels.collect(model.network)
    for place in range(16):
        one = kernel[..., place]
        expected = 0.5 + one / (2 * np.abs(one).max())
        for channel in np.moveaxis(columns[place // 8].images[place % 8], -1, 0):
            np.testing.assert_allclose(channel, expected)
    assert {column.colour_share for column in columns} == {None}
    figure = kernels.draw(columns)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "column 0",
        "column 1",
    ]
    assert "sum of its three channels" in figure.get_supxlabel()


def test_one_value_for_all_pixels_is_not_grey():
    """Files of others have no mean image, only a number or three."""
    assert not kernels.is_grey(np.full((8, 8, 3), 120.0))
    assert not kernels.is_grey(np.zeros((8, 8, 3)))


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
        label,
        titles,
        train_set,
        names,
        layer="fc7",
        count=4,
        num_workers=None,
    )
    image, labels = read(train_set, range(train_set.num_examples))
    rows = model.features(image, ["fc7"])["fc7"].astype(np.float64)
    features = model.features(queries, ["fc7"])["fc7"]
    for one, query, true in zip(found, features, label, strict=True):
        distance = np.linalg.norm(rows - query, axis=1)
        np.testing.assert_allclose(one.distances, np.sort(distance)[:4], atol=1e-5)
        order = np.argsort(distance, kind="stable")[:4]
        assert one.titles == [str(labels[place]) for place in order]
        assert one.same == [labels[place] == true for place in order]
        np.testing.assert_array_equal(one.images, image[order])


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_neighbours_are_drawn_with_their_distances():
    image = np.zeros((28, 28, 3), np.uint8)
    query = neighbours.Neighbours(
        image,
        "cat",
        np.stack([image] * 3),
        ["cat", "dog", "a" * 200],
        [True, False, False],
        np.array([0.01234, 4.3, 1234.5]),
    )
    figure = neighbours.draw([query], "fc6")
    _, *found = figure.axes
    assert [texts(axes) for axes in found] == [["0.0123"], ["4.30"], ["1234"]]
    titles = [axes.get_title() for axes in found]
    assert titles[:2] == ["cat", "\u2717 dog"]
    assert titles[2].count("\u2026") == 1 and len(titles[2]) < 30
    assert figure.get_suptitle() == "Nearest training images by fc6, Euclidean distance"
    unknown = neighbours.draw([query._replace(same=[None] * 3)], "fc6")
    assert [axes.get_title() for axes in unknown.axes][1:3] == ["cat", "dog"]
    assert "of its class" not in neighbours.describe([query._replace(same=[None] * 3)])


@pytest.mark.parametrize("true", [0, 1, None, -1])
def test_bars_of_predictions(true):
    """Right, wrong, true label not among the five, unknown."""
    values = [0.5, 0.3, 0.1, 0.06, 0.04]
    image = predictions.Labelled(
        np.zeros((28, 28, 3), np.uint8),
        "true",
        list("abcde"),
        values,
        true if true in (0, 1) else None,
        None if true == -1 else true == 0,
    )
    figure = predictions.draw([image])
    above, below = figure.axes
    mark = {0: "\u2713 ", -1: ""}.get(true, "\u2717 ")
    assert above.get_title() == f"{mark}true"
    assert [bar.get_width() for bar in below.patches] == values
    assert below.get_xlim() == (0, 1)
    marked = [bar.get_linewidth() > 0 for bar in below.patches]
    assert marked == [place == true for place in range(5)]
    assert len(figure.legends) == (true != -1)
    assert above.axison == (true != -1)  # has a frame


def test_long_names_keep_their_ends():
    name = "crane, a tall wading bird with long legs (n02012849)"
    for width in (0.5, 1, 2):
        short = drawing.fitted(name, width)
        start, end = short.split("\u2026")
        assert name.startswith(start) and name.endswith(end)
        assert len(short) < 26 * width
    assert drawing.fitted("cat", 1) == "cat"
    assert drawing.fitted("$a$ _{b", 9) == "$a$ _{b"


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
            np.testing.assert_allclose(means[places], np.sort(means[own])[::-1][:6])
            np.testing.assert_array_equal(shown, np.moveaxis(whole[..., places], -1, 0))


def test_curves_are_the_records(digits_run):
    lines = (digits_run / metrics_writer.FILE).read_text().splitlines()
    records = [json.loads(line) for line in lines]
    found = curves.collect(digits_run)
    for kind, columns in (("train", found.train), ("eval", found.test)):
        for name in ("epoch", "loss", "top1_error"):
            assert columns[name] == [r[name] for r in records if r["kind"] == kind]
    assert found.num_classes == 10 and found.drops == []


def write_run(folder, like, records, **optimizer):
    """A run directory with a configuration like that of another run."""
    config = json.loads((like / "config.json").read_text())
    config["num_epochs"] = 2
    config["optimizer"] |= optimizer
    (folder / "config.json").write_text(json.dumps(config))
    text = "\n".join(map(json.dumps, records)) + '\n{"kind": "tr'  # being written
    (folder / metrics_writer.FILE).write_text(text)
    return folder


def record(step, epoch, rate=0.01, error=0.5, kind="train"):
    values = {"loss": 1.0, "top1_error": error, "top5_error": 0.1}
    return {
        **{"kind": kind, "step": step, "epoch": round(epoch, 4)},
        **({"learning_rate": rate} if kind == "train" else {}),
        **values,
    }


SCHEDULES = {
    # 10.5 steps per epoch: epoch 2 ends within step 21, and step 22 has the new rate.
    "epochs": ({"drop_epochs": [2, 3.5]}, [2, 3.5]),
    "levels": ({"levels": 4}, [0.5, 1, 1.5]),  # of 2 epochs, by the configuration
    "plateau": ({"plateau_patience": 2}, [2.0952, 4.0952]),  # at evaluations
    "cosine": ({}, []),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_drops_are_exact(digits_run, tmp_path, schedule):
    """Records tell between which steps the rate fell, the schedule at which epoch."""
    settings, expected = SCHEDULES[schedule]
    ends = {11: 1.0476, 22: 2.0952, 32: 3.0476, 43: 4.0952, 53: 5.0476}
    lines = []
    for step in sorted({*range(5, 54, 5), *ends}):
        # The last step of the record, by the epochs done before it.
        done = (step - 1) / 10.5
        rate = 0.01 / 10 ** sum(done + 1e-4 >= drop for drop in expected)
        rate *= 1 if expected else 0.9**step
        lines.append(record(step, step / 10.5, rate))
        if step in ends:
            lines.append(record(step, ends[step], kind="eval"))
    write_run(tmp_path, digits_run, lines, schedule=schedule, **settings)
    found = curves.collect(tmp_path)
    assert found.drops == expected
    for axes in curves.draw(found).axes:
        dashed = [line for line in axes.lines if line.get_color() == drawing.GREY]
        places = [line.get_xdata()[0] for line in dashed if len(line.get_xdata())]
        assert places == expected


def test_training_points_are_means_of_epochs(digits_run, tmp_path):
    """Weighted by steps; 2 of the 10 steps of an epoch are the last, short record."""
    lines = []
    for epoch in range(4):
        first, last = 0.9 - 0.1 * epoch, 0.1
        lines += [
            record(10 * epoch + 8, epoch + 0.8, error=first),
            record(10 * epoch + 10, epoch + 1.0, error=last),
            record(10 * epoch + 10, epoch + 1.0, error=0.3, kind="eval"),
        ]
    lines.append(record(45, 4.5, error=0.7))  # of an unfinished epoch
    write_run(tmp_path, digits_run, lines)
    found = curves.by_epoch(curves.collect(tmp_path))
    np.testing.assert_allclose(found["epoch"], [0.5, 1.5, 2.5, 3.5])
    expected = [0.8 * (0.9 - 0.1 * epoch) + 0.2 * 0.1 for epoch in range(4)]
    np.testing.assert_allclose(found["top1_error"], expected)


@pytest.mark.parametrize("evaluated", [True, False])
def test_curves_of_a_fraction_of_an_epoch(digits_run, tmp_path, evaluated):
    """Each record is drawn, but the short one at the end."""
    lines = [record(step, step / 100) for step in (20, 40, 43)]
    if evaluated:
        lines.append(record(43, 0.43, kind="eval"))
    found = curves.collect(write_run(tmp_path, digits_run, lines))
    np.testing.assert_allclose(curves.by_epoch(found)["epoch"], [0.1, 0.3])
    labels = curves.draw(found).axes[0].get_legend_handles_labels()[1]
    marked = "last and best: 50.00 % (epoch 0.43)"
    assert (marked in labels) == evaluated


def test_best_and_last_error_are_marked(digits_run, tmp_path):
    errors = [0.5, 0.2, 0.1, 0.125]
    lines = [record(10, 1.0)]
    for epoch, error in enumerate(errors, 1):
        lines.append(record(10 * epoch, float(epoch), error=error, kind="eval"))
    found = curves.collect(write_run(tmp_path, digits_run, lines))
    axes = curves.draw(found).axes[0]
    marks = {
        line.get_label(): (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.lines
        if len(line.get_xdata()) == 1 and line.get_label() != "top-1, training"
    }
    assert marks == {
        "best: 10.00 % (epoch 3)": (3, pytest.approx(10)),
        "last: 12.50 % (epoch 4)": (4, pytest.approx(12.5)),
    }


def test_curves_without_numbers(digits_run, tmp_path):
    """null is NaN, and an error of 0 has no place on a logarithmic axis."""
    lines = [record(i, float(i), error=0.0) | {"loss": None} for i in range(1, 5)]
    lines.append(record(4, 4.0, error=0.0, kind="eval"))
    found = curves.collect(write_run(tmp_path, digits_run, lines))
    assert all(map(math.isnan, found.train["loss"]))
    drawing.save(curves.draw(found), tmp_path, "curves")


NETWORKS = {
    "alexnet2012": (
        presets.ALEXNET2012,
        ["image", *(f"conv{i}" for i in range(1, 6)), "fc6", "fc7", "fc8"],
    ),
    "digits without conv3 and conv4": (
        dataclasses.replace(
            presets.DIGITS,
            model=dataclasses.replace(
                presets.DIGITS.model, num_columns=1, without=("conv3", "conv4")
            ),
        ),
        ["image", "conv1", "conv2", "conv5", "fc6", "fc7", "fc8"],
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_of_the_diagram(name):
    config, expected = NETWORKS[name]
    layers = network.collect(config)
    assert [layer.name for layer in layers] == expected
    figure = drawing.new_figure(8, 3)
    axes = figure.add_subplot()
    columns = config.model.num_columns
    network.draw(axes, layers, columns)
    crossing = [line for line in axes.lines if line.get_color() == "black"]
    if columns == 1:
        assert not crossing and layers[1].maps == 16
        return
    # conv3, fc6, fc7 and fc8 see both columns: two crossing lines each.
    assert len(crossing) == 8
    found = texts(axes)
    for size in ("224x224x3", "55x55x48", "27x27x128", "13x13x192", "2048", "500"):
        assert size.replace("x", "\u00d7") in found
    assert {"column 0", "column 1"} <= set(found)


def test_overview_shows_right_and_wrong():
    one = predictions.Labelled(np.zeros((1, 1, 3)), "", [], [], None, None)
    right, wrong = one._replace(correct=True), one._replace(correct=False)
    for images, expected in (
        ([right] * 9 + [wrong] * 9, [True] * 3 + [False] * 3),
        ([right] * 9 + [wrong], [True] * 5 + [False]),
        ([right] + [wrong] * 9, [True] + [False] * 5),
        ([one] * 2, [None] * 2),
    ):
        assert [image.correct for image in overview.choose(images, 6)] == expected


def test_overview_without_images(digits_run, model):
    found = curves.collect(digits_run)
    whole = overview.draw(model.network, found, [])
    error = 100 * found.test["top1_error"][-1]
    titles = [part.get_suptitle() for part in whole.subfigs[1].subfigs]
    assert titles == [
        "conv1's kernels, by column",
        f"top-1 error: {error:.2f} % at the end",
    ]
    assert "93,674 parameters" in whole.subfigs[0].get_suptitle()


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
