"""Names of files and classes that others choose reach the terminal without their
escape sequences, and result files exactly as they are."""

import csv
import io
import json
import os

import pytest
from stand_ins import encoded, picture

from alexnet_jax import features, predict, prepare
from alexnet_jax.data import class_names
from alexnet_jax.errors import UserError
from alexnet_jax.preparation.source_images import Form
from alexnet_jax.system.streams import printable

RED = "\x1b[31mred\x07"
SHOWN = r"\x1b[31mred\x07"
NOT_UTF8 = os.fsdecode(b"\xff")


def test_printable():
    assert printable(f"naïve 猫 {RED}\n{NOT_UTF8}") == (rf"naïve 猫 {SHOWN}\n\udcff")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One image and one that is none, both of odd names."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / f"{RED}{NOT_UTF8}.png").write_bytes(encoded(picture(0), "PNG"))
    (folder / f"{RED}{NOT_UTF8}.jpg").write_bytes(b"")
    return folder


def shown(capfd):
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err and "\x07" not in out + err
    return out, err


def test_predict(digits_run, folder, capfd):
    predict.run(predict.Options(images=(str(folder),), workdir=digits_run))
    out, err = shown(capfd)
    assert out.startswith(rf"{folder}/{SHOWN}\udcff.png" + "\n  ")
    assert err.startswith(rf"{folder}/{SHOWN}\udcff.jpg: no image of")


def test_result_files_keep_names(digits_run, folder, capfd):
    options = {"images": (str(folder),), "workdir": digits_run, "best": 1}
    predict.run(predict.Options(json=True, **options))
    assert json.loads(capfd.readouterr().out)["image"] == (
        f"{folder}/{RED}{NOT_UTF8}.png"
    )
    predict.run(predict.Options(csv=True, **options))
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert rows[0]["image"] == rf"{folder}/{RED}\udcff.png"


def test_features(digits_run, folder, tmp_path, capfd):
    output = tmp_path / "fc7.npz"
    features.run(
        features.Options(images=(str(folder),), workdir=digits_run, output=output)
    )
    assert rf"{SHOWN}\udcff.jpg: no image of" in shown(capfd)[1]


def test_prepare(tmp_path, capfd):
    for label in ("cat", RED):
        (tmp_path / "pets" / label).mkdir(parents=True)
        (tmp_path / "pets" / label / "a.jpg").write_bytes(encoded(picture(0)))
    (tmp_path / "pets" / RED / "b.jpg").write_bytes(b"")
    options = {"source": str(tmp_path / "pets"), "form": Form(image_size=16)}
    folder = str(tmp_path / "data")
    assert prepare.run(prepare.Options(data_dir=folder, check=True, **options)) == 0
    assert f"left out of train: {SHOWN}/b.jpg: " in shown(capfd)[0]
    with pytest.raises(UserError) as refusal:
        prepare.run(prepare.Options(name="x", max_unreadable=0, **options))
    assert SHOWN in str(refusal.value) and RED not in str(refusal.value)


def test_classes(tmp_path):
    names = [RED, "a\x1cb", "a\u2028b"]
    class_names.write(tmp_path, names)
    assert class_names.read(tmp_path) == names
    with pytest.raises(UserError, match="classes are not among") as refusal:
        class_names.outputs_of([RED], ["cat"])
    assert SHOWN in str(refusal.value)
