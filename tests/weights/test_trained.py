"""The networks that come with the package: found by name, as good as their records."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import evaluate, metrics, predict, trained, visualize
from alexnet_jax.config import DataConfig
from alexnet_jax.data.source import open_source
from alexnet_jax.errors import UserError
from alexnet_jax.evaluation import ensemble
from alexnet_jax.weights import model_card, network_file

LARGEST = {"digits": 0.5e6, "cifar10": 1.6e6}  # bytes


def files(name):
    """Weights, model card and record."""
    weights = trained.locate(name)
    return weights, weights.with_suffix(".md"), weights.with_suffix(".json")


def error(name, data):
    """Top-1 error on the centre view of all test images."""
    model = alexnet_jax.load(name)
    source = open_source(data, "test")
    found, label = ensemble.predict(model, source, num_views=1)
    return metrics.example_scores(found, label)["top1_error"].mean()


@pytest.mark.parametrize("name", trained.NAMES)
def test_card_and_record_are_those_of_the_weights(name):
    """The card is what `convert` writes; card and record tell the same error."""
    weights, card, record = files(name)
    assert weights.stat().st_size < LARGEST[name]
    network = network_file.read(weights)
    assert card.read_text() == model_card.text(weights, network)
    told = json.loads(record.read_text())
    assert told["steps"] == network.step and told["command"] in card.read_text()
    assert f"top-1 error {told['result']['top1_error']:.2%}" in network.origin["result"]
    assert len(told["curve"]) <= 100
    assert told["curve"][-1]["top1_error"] == told["result"]["top1_error"]


@pytest.mark.parametrize("name", trained.NAMES)
def test_the_readme_tells_the_error(name):
    """Of each network that comes with the package, beside the errors of all runs."""
    told = json.loads(files(name)[2].read_text())["result"]["top1_error"]
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert f"{100 * told:.2f} % (`{name}`)" in readme.split("## Results")[1]


@pytest.mark.parametrize("name", trained.NAMES)
def test_they_name_no_machine(name):
    for path in files(name):
        text = path.read_bytes().decode("latin1")
        assert not re.search(r"/(home|root|tmp|work|Users)/", text)
        assert '"host"' not in text


def test_digits_are_as_good_as_their_record(digits_dir):
    """The same image more or less may be right on another machine."""
    record = json.loads(files("digits")[2].read_text())
    found = error(
        "digits", DataConfig(name="digits", data_dir=digits_dir, image_size=28)
    )
    assert abs(found - record["result"]["top1_error"]) < 1.5 / 360
    assert found < 0.02


@pytest.mark.slow
def test_cifar10_is_as_good_as_its_record(test_data):
    record = json.loads(files("cifar10")[2].read_text())
    data = DataConfig(
        name="cifar10",
        data_dir=str(test_data / "tfds"),
        image_size=32,
        stored="records",
    )
    found = error("cifar10", data)
    assert abs(found - record["result"]["top1_error"]) < 0.001


def test_by_name_anywhere(digits_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = predict.Options(
        workdir="digits", split="test[:1]", data_dir=digits_dir, json=True
    )
    predict.run(options)
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (answer,) = answers
    assert answer["best"][0]["class"] == answer["label"]
    table = evaluate.run(evaluate.Options(workdir=("digits",), data_dir=digits_dir))
    assert table.splitlines()[-1].startswith("digits step ")


def test_a_run_of_that_name_comes_first(digits_run, tmp_path, monkeypatch):
    """But not just any directory, such as that of the dataset."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar10").mkdir()
    assert trained.locate("cifar10").parent == files("digits")[0].parent
    theirs = alexnet_jax.load("digits").network.step
    (tmp_path / "digits").symlink_to(digits_run)
    assert alexnet_jax.load("digits").network.step != theirs


def test_an_unknown_name():
    with pytest.raises(UserError, match=r"mnist does not exist: .*\(digits, cifar10\)"):
        alexnet_jax.load("mnist")


def test_grey_and_colour_pictures():
    """A blank picture of any size has a prediction."""
    for name in trained.NAMES:
        probabilities = alexnet_jax.load(name).predict(np.zeros((40, 50), np.uint8))
        np.testing.assert_allclose(probabilities.probabilities.sum(), 1, rtol=1e-5)


def test_figures_of_a_name_go_beside_it(tmp_path, monkeypatch):
    """Not into a new directory of that name; curves need a run."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    visualize.run(visualize.Options(figure="kernels", workdir=Path("digits")))
    assert [path.name for path in tmp_path.iterdir()] == ["figures"]
    with pytest.raises(UserError, match="only a run directory has curves"):
        visualize.run(visualize.Options(figure="curves", workdir=Path("digits")))
