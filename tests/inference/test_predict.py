"""predict: the stored predictions of evaluate once more; files, forms, mistakes."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from stand_ins import encoded, picture, write_dataset

import alexnet_jax
from alexnet_jax import evaluate, predict
from alexnet_jax.config import MeshConfig
from alexnet_jax.data import class_names, ilsvrc2012
from alexnet_jax.data.source import open_source
from alexnet_jax.errors import UserError
from alexnet_jax.training import workdir

COUNT = 40


@pytest.fixture(scope="module")
def model(digits_run):
    return alexnet_jax.load(digits_run)


@pytest.fixture(scope="module")
def digit_files(digits_run, tmp_path_factory):
    """The first test digits as files, as they are stored in the dataset."""
    config = workdir.read_config(digits_run)
    records = open_source(config.data, "test").records
    folder = tmp_path_factory.mktemp("digits")
    for index in range(COUNT):
        (folder / f"{index:03d}.png").write_bytes(records[index]["image"])
    return folder


@pytest.mark.parametrize("views", [1, 10])
def test_predict_equals_evaluate(digits_run, digit_files, model, tmp_path, views):
    stored = tmp_path / "predictions.npz"
    evaluate.run(
        evaluate.Options(workdir=(digits_run,), views=views, predictions=stored)
    )
    expected = np.load(stored)["probabilities"][:COUNT]
    found = model.predict(sorted(digit_files.iterdir()), views=views)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    name, probability = found.top(5)[3][0]
    assert name == str(expected[3].argmax())
    assert probability == pytest.approx(expected[3].max(), abs=1e-6)


def run(capsys, *images, **options):
    problems = predict.run(predict.Options(images=tuple(map(str, images)), **options))
    out, err = capsys.readouterr()
    return problems, out, err


def test_forms_agree(capsys, digits_run, digit_files, model):
    expected = model.predict(sorted(digit_files.iterdir()))
    options = {"workdir": digits_run, "batch_size": 16}
    _, lines, _ = run(capsys, digit_files, json=True, **options)
    _, table, _ = run(capsys, digit_files, csv=True, **options)
    _, text, _ = run(capsys, digit_files, **options)
    objects = [json.loads(line) for line in lines.splitlines()]
    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(objects) == COUNT and len(rows) == 5 * COUNT
    for index, one in enumerate(objects):
        assert one["image"].endswith(f"{index:03d}.png")
        best = [(each["class"], each["probability"]) for each in one["best"]]
        for (name, probability), (other, other_probability) in zip(
            best, expected.top(5)[index], strict=True
        ):
            assert name == other
            assert probability == pytest.approx(other_probability, abs=1e-6)
        assert [row["class"] for row in rows[5 * index : 5 * index + 5]] == [
            name for name, _ in best
        ]
        assert f"{index:03d}.png\n  {best[0][1]:7.2%}  {best[0][0]}\n" in text


def test_a_bad_file_stops_no_other(capsys, digits_run, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture(0), "PNG"))
    (tmp_path / "b.png").write_text("no image")
    (tmp_path / "c.jpg").write_bytes(encoded(picture(1))[:200])
    missing = tmp_path / "missing.png"
    problems, out, err = run(capsys, missing, tmp_path, workdir=digits_run)
    assert problems == 3
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [
        str(tmp_path / "a.png")
    ]
    assert [line.split(": ")[0] for line in err.splitlines()] == [
        str(missing),
        str(tmp_path / "b.png"),
        str(tmp_path / "c.jpg"),
    ]
    assert "No such file" in err and "no image of a format" in err


def test_a_split(capsys, digits_run, model):
    _, out, _ = run(capsys, workdir=digits_run, split="test[:3]", json=True)
    found = [json.loads(line) for line in out.splitlines()]
    assert [(one["image"], one["label"]) for one in found] == [
        ("0", "0"),
        ("1", "5"),
        ("2", "0"),
    ]


def test_any_mesh(digits_run, model):
    """Sizes of batches and meshes that don't divide the images change nothing."""
    pixels = [picture(seed) for seed in range(5)]
    expected = model.predict(pixels).probabilities
    for data, column in ((1, 1), (1, 2), (2, 2), (4, 1)):
        other = alexnet_jax.load(digits_run, mesh=MeshConfig(data=data, column=column))
        found = other.predict(pixels, batch_size=3).probabilities
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_one_image_is_a_list_of_one(model, digit_files):
    """A path, an array and a Pillow image; the dimension of images stays."""
    path = digit_files / "000.png"
    pixels = np.asarray(Image.open(path))
    expected = model.predict([path]).probabilities
    assert expected.shape == (1, 10)
    assert pixels.shape == (8, 8)
    colour = np.stack([pixels] * 3, axis=2)
    for one in (path, str(path), colour, colour[:, :, 0], Image.open(path)):
        np.testing.assert_array_equal(model.predict(one).probabilities, expected)
        assert model.features(one, "fc7")["fc7"].shape == (1, 128)


@pytest.mark.parametrize("which", ["predict", "features"])
def test_a_crop_gives_the_bits_of_the_centre_view(model, which):
    """Images that have image_size already, and their centres cut out by hand."""
    whole = [picture(seed, 28, 28) for seed in range(COUNT)]
    crops = [pixels[2:26, 2:26] for pixels in whole]

    def ask(images, **options):
        if which == "predict":
            return {"probabilities": model.predict(images, **options).probabilities}
        return model.features(images, list(model.layers()), **options)

    expected, found = ask(whole), ask(crops, views="crop")
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    shifted = ask([pixels[1:25, 2:26] for pixels in whole], views="crop")
    last = list(expected)[-1]
    assert np.abs(shifted[last] - expected[last]).max() > 1e-3


def test_other_sizes_than_the_crop(model, digit_files):
    path = digit_files / "000.png"
    wrong = rf"{path}: 8 x 8 pixels, .* crop is 24 x 24"
    with pytest.raises(UserError, match=wrong):
        model.predict(path, views="crop")
    with pytest.raises(UserError, match=wrong):
        model.features(path, "fc7", views="crop")
    for views in (5, "center", "10"):
        with pytest.raises(UserError, match=f"views={views!r}"):
            model.predict(path, views=views)
        with pytest.raises(UserError, match=f"views={views!r}"):
            model.features(path, "fc7", views=views)
    with pytest.raises(UserError, match="views=10: features are of one view"):
        model.features(path, "fc7", views=10)


def test_crops_in_the_command(capsys, digits_run, model, tmp_path):
    """A crop is answered, another size is a problem of its image; records likewise."""
    crop, whole = tmp_path / "crop.png", tmp_path / "whole.png"
    whole.write_bytes(encoded(picture(0, 28, 28), "PNG"))
    crop.write_bytes(encoded(picture(0, 28, 28)[2:26, 2:26], "PNG"))
    problems, out, err = run(capsys, tmp_path, workdir=digits_run, views="crop", best=1)
    ((name, probability),) = model.predict(whole).top(1)[0]
    assert out == f"{crop}\n  {probability:7.2%}  {name}\n"
    assert (problems, err.count("\n")) == (1, 1)
    assert err.startswith(f"{whole}: 28 x 28 pixels, but the network's crop is 24 x 24")
    problems, out, err = run(
        capsys, workdir=digits_run, split="test[:2]", views="crop", best=1
    )
    assert (problems, out) == (2, "") and err.startswith("0: 8 x 8 pixels")


def test_records_that_are_crops(digits_run, capsys, tmp_path):
    """A dataset of crops is fed as it is."""
    features = {
        "image": tfds.features.Image(shape=(24, 24, 3)),
        "label": tfds.features.ClassLabel(names=[str(n) for n in range(10)]),
    }
    pixels = [picture(seed, 24, 24) for seed in range(3)]
    examples = [
        {"image": io.BytesIO(encoded(each, "PNG")), "label": 3} for each in pixels
    ]
    write_dataset(tmp_path, "crops", features, examples)
    options = {"dataset": "crops", "split": "train", "data_dir": str(tmp_path)}
    _, out, err = run(
        capsys, workdir=digits_run, json=True, best=10, views="crop", **options
    )
    assert err == ""
    expected = alexnet_jax.load(digits_run).predict(pixels, views="crop")
    for line, row in zip(out.splitlines(), expected.probabilities, strict=True):
        found = {one["class"]: one["probability"] for one in json.loads(line)["best"]}
        assert [found[str(n)] for n in range(10)] == pytest.approx(row.tolist())


def test_one_array_of_images(model):
    pixels = np.stack([picture(seed) for seed in range(3)])
    np.testing.assert_array_equal(
        model.predict(pixels).probabilities, model.predict(list(pixels)).probabilities
    )


@pytest.mark.parametrize(
    "images, message",
    [
        ("nothing.jpg", "nothing.jpg: No such file"),
        (picture(0)[None, None], "an array of uint8"),
        ([], "no images"),
        (["nothing.jpg"], "nothing.jpg: No such file"),
        ([picture(0).astype(np.float32)], "float32"),
    ],
)
def test_mistakes_in_python(model, images, message):
    with pytest.raises(UserError, match=message):
        model.predict(images)


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "no images"),
        ({"images": ("x",), "split": "test"}, "not both"),
        ({"images": ("x",), "json": True, "csv": True}, "choose one"),
        ({"images": ("x",), "best": 0}, "--best 0"),
    ],
)
def test_mistakes(digits_run, options, message):
    with pytest.raises(UserError, match=message):
        predict.run(predict.Options(workdir=digits_run, **options))


def test_the_command(digits_run, digit_files):
    command = [sys.executable, "-m", "alexnet_jax.predict", "-", "nothing.png"]
    result = subprocess.run(
        [*command, "--workdir", str(digits_run), "--best", "1"],
        input=f"{digit_files / '000.png'}\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert result.stdout.startswith(f"{digit_files / '000.png'}\n  ")
    assert result.stderr == "nothing.png: No such file or directory\n"


def test_the_repr_of_a_model(digits_run, model):
    expected = f'Model("{digits_run}": 10 classes, crop 24x24, 93,674 parameters, '
    assert repr(model) == f"{expected}4 devices)"
    one = alexnet_jax.load(digits_run, mesh=MeshConfig(data=1, column=1))
    assert repr(one) == f"{expected}1 device)"


def test_the_repr_of_predictions():
    """One line, however many images."""
    rows = np.tile(np.float32([0.25, 0.7, 0.05]), (5000, 1))
    found = alexnet_jax.Predictions(rows, ["cat", "dog\x1b", "ox"])
    assert repr(found) == (
        r"Predictions(5,000 images, 3 classes; best: dog\x1b 70.0%, "
        r"dog\x1b 70.0%, dog\x1b 70.0%, ...)"
    )
    alone = alexnet_jax.Predictions(rows[:1], ["cat", "dog", "ox"])
    assert repr(alone) == "Predictions(1 image, 3 classes; best: dog 70.0%)"


def test_readable_names():
    names = ilsvrc2012.class_names()
    found = class_names.readable(names, 1000)
    assert len(set(found)) == 1000
    assert found[0] == "tench" and found[134] == "crane (n02012849)"
    assert class_names.readable(["cat", "dog"], 2) == ["cat", "dog"]
    assert class_names.readable(None, 3) == ["0", "1", "2"]


def test_importing_the_package_is_cheap():
    code = (
        "import sys, alexnet_jax; "
        "assert 'load' in dir(alexnet_jax); print('jax' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert result.stdout.strip() == "False", result.stderr
