"""Figure 1: the choice of the rate, the table, a small run of everything."""

import json
import sys

import numpy as np
import pytest

from experiments.cuda_convnet import curves, figure1, nets
from experiments.cuda_convnet.figure1 import Curve, Options
from experiments.cuda_convnet.images import Cifar10, Images


def curve(activation, rate, errors, reached=None, seed=0):
    return Curve(activation, rate, seed, errors, reached)


def test_the_rate_is_chosen_by_the_grids_epochs_alone():
    """Not by the later epochs of a longer run."""
    tried = [
        curve("relu", 0.001, [0.5, 0.4, 0.3, 0.2], reached=3.5),
        curve("relu", 0.002, [0.5, 0.35]),
        curve("relu", 0.004, []),  # diverged
    ]
    assert curves.fastest(tried, 2).learning_rate == 0.002
    assert curves.fastest(tried[:1] + tried[2:], 2).learning_rate == 0.001


@pytest.mark.parametrize(
    "tanh, expected",
    [
        (curve("tanh", 0.01, [0.3, 0.2], reached=30.0), "ratio tanh / ReLU: 5.0"),
        (curve("tanh", 0.01, [0.3] * 24), "ratio tanh / ReLU: above 4.0"),
    ],
)
def test_table(tmp_path, tanh, expected):
    relu = curve("relu", 0.002, [0.5, 0.2], reached=6.0)
    options = Options(workdir=tmp_path, out=tmp_path)
    text = figure1.table(options, [relu, tanh], [relu, tanh])
    assert f"{expected} (paper: 6), n = 1" in text
    assert "| relu | 0.002 | 0 | 6.00 |" in text


def test_ratio_of_means():
    relu = [curve("relu", 1, [0.2], reached=t) for t in (4.0, 6.0)]
    tanh = [curve("tanh", 1, [0.2], reached=t) for t in (20.0, 30.0)]
    assert curves.ratio(relu + tanh) == 5
    assert curves.ratio([*relu, *tanh, curve("tanh", 1, [0.4])]) is None
    assert curves.ratio(relu) is None


def test_no_ratio_without_relu(tmp_path):
    relu = curve("relu", 0.002, [0.5, 0.4])
    options = Options(workdir=tmp_path, out=tmp_path)
    text = figure1.table(options, [relu], [relu])
    assert "ratio: -" in text and "not within 2: 40.00%" in text


def test_help_describes_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figure1", "--help"])
    with pytest.raises(SystemExit):
        figure1.main()
    assert "Repeats Figure 1 of the paper" in capsys.readouterr().out


def test_a_small_run(tmp_path, monkeypatch):
    """Both activations on a net of one layer, until the cap; the same again at once."""
    layers = (
        nets.MaxPool(activate=True),
        nets.Dense(name="fc10", features=10, std=0.01, weight_cost=3.0),
    )
    small = nets.Net(layers=layers, recipe=nets.NETS["80sec"].recipe)
    monkeypatch.setitem(nets.NETS, "80sec", small)
    generator = np.random.default_rng(0)
    images = Images(
        generator.integers(0, 256, (256, 32, 32, 3), dtype=np.uint8),
        generator.integers(0, 10, 256).astype(np.int32),
    )
    data = Cifar10(images, images, np.full((32, 32, 3), 127, np.float32))
    options = Options(
        workdir=tmp_path / "runs",
        out=tmp_path / "out",
        net="80sec",
        relu_rates=(1e-7, 1e-6),
        tanh_rates=(1e-6,),
        grid_epochs=1,
        max_epochs=2,
        record=tmp_path / "figure1.json",
    )
    text = figure1.run(options, data)
    assert text.count("not within 2") == 2
    assert (options.out / figure1.FIGURE).stat().st_size > 5000
    found = json.loads(options.record.read_text())
    assert [run["learning_rate"] for run in found["grid"]] == [1e-7, 1e-6, 1e-6]
    assert [len(run["curve"]) for run in found["runs"]] == [2, 2]
    assert found["result"] == {"ratio": None}
    assert found["command"].endswith(
        "figure1 --net 80sec --relu-rates 1e-07 1e-06 --tanh-rates 1e-06 "
        "--grid-epochs 1 --max-epochs 2"
    )
    assert found["minutes"] >= 0 and str(tmp_path) not in options.record.read_text()
    assert figure1.run(options, data) == text
