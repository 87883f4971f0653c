"""experiments.views on the network of digits that comes with the package."""

import json
from pathlib import Path

import pytest

from alexnet_jax import evaluate, trained
from alexnet_jax.errors import UserError
from experiments import views


def test_the_errors_are_those_of_evaluate(digits_dir, tmp_path):
    options = views.Options(
        network=Path("digits"), data_dir=digits_dir, record=tmp_path / "views.json"
    )
    text = views.run(options)
    found = json.loads((tmp_path / "views.json").read_text())
    errors = found["top1_error_by_views"]
    for count in (1, 10):
        table = evaluate.run(
            evaluate.Options(
                workdir=(Path("digits"),), data_dir=digits_dir, views=count
            )
        )
        assert f" {errors[str(count)]:.2%} " in table
        assert f"{errors[str(count)]:.2%}" in text
    card = Path(trained.__file__).with_name("digits.json")
    assert found["trained_by"] == json.loads(card.read_text())["command"]
    assert found["result"]["examples"] == 360
    assert digits_dir not in json.dumps(found) and "host" not in found


def test_no_network_and_no_place(tmp_path):
    with pytest.raises(UserError, match="missing does not exist"):
        views.run(views.Options(network=tmp_path / "missing"))
    with pytest.raises(UserError, match="--record"):
        views.run(views.Options(record=tmp_path / "missing" / "record.json"))
