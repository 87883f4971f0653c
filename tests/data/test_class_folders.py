"""Training on a tree of class folders: splits, pixels, a run from end to end."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from stand_ins import encoded, picture

import alexnet_jax
from alexnet_jax import main
from alexnet_jax.config import DataConfig
from alexnet_jax.data import class_folders, content, decoding
from alexnet_jax.data.source import open_source
from alexnet_jax.errors import UserError
from alexnet_jax.training import setup, workdir

CLASSES = ("ants", "bees", "wasps")


def tree(folder, splits=("",), count=10, form="JPEG"):
    """Class folders of pictures, a colour for each class."""
    for split in splits:
        for label, name in enumerate(CLASSES):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = picture(number, 30, 40).copy()
                pixels[..., label] = 250 - number
                (place / f"{number}.jpg").write_bytes(encoded(pixels, form))
    return folder


def settings(folder, **fields):
    return DataConfig(name="x", folder=str(folder), image_size=24, **fields)


def files(folder, **fields):
    splits = class_folders.for_training(settings(folder, **fields)).splits
    return {
        name: [str(path.relative_to(folder)) for path, _ in of_split]
        for name, of_split in splits.items()
    }


def test_a_fraction_of_each_class_is_held_out(tmp_path):
    """The same files whatever else is there; every file in one of the splits."""
    some = files(tree(tmp_path / "a"), held_out=0.3)
    for label, name in enumerate(CLASSES):
        assert sum(file.startswith(name) for file in some["validation"]) == 3
        assert sum(file.startswith(name) for file in some["train"]) == 7, label
    assert not set(some["train"]) & set(some["validation"])
    other = files(tree(tmp_path / "b"), held_out=0.3)
    assert some == other
    fewer = files(tmp_path / "b", held_out=0.1)
    assert set(fewer["validation"]) < set(some["validation"])


@pytest.mark.parametrize(
    "splits, found",
    [
        (("train", "val"), {"train", "validation"}),
        (("train", "test"), {"train", "test"}),
        (("train",), {"train", "validation"}),
    ],
)
def test_splits_of_a_tree(splits, found, tmp_path):
    names = files(tree(tmp_path, splits))
    assert set(names) == found
    assert all(file.startswith("train/") for file in names["train"])
    if len(splits) == 2:
        assert all(file.startswith(splits[1]) for file in names[min(found - {"train"})])


def test_the_configuration_gets_name_and_splits(tmp_path):
    config = main.parse(["--workdir", "w", "--data.folder", str(tmp_path)]).config
    for splits, evaluated in ((("train", "val"), "validation"), (("test",), "test")):
        tree(tmp_path, splits)
        if splits == ("test",):  # digits evaluate on test, which is there now
            evaluated = "test"
        data = class_folders.completed(config).data
        assert (data.name, data.train_split) == (tmp_path.name, "train")
        assert data.eval_split == evaluated


def test_images_are_those_of_the_files(tmp_path):
    source = open_source(settings(tree(tmp_path)), "train")
    assert source.class_names == list(CLASSES)
    image, label = np.empty((5, 24, 24, 3), np.uint8), np.empty(5, np.int32)
    source.read(np.arange(5), image, label)
    for row in range(5):
        path = tmp_path / source.key(row)
        assert CLASSES[label[row]] == path.parent.name
        expected = decoding.fit(decoding.decode(path.read_bytes()), 24)
        np.testing.assert_array_equal(image[row], expected)


def test_images_of_cameras_are_upright(tmp_path):
    """As in `predict`, so that training sees what prediction sees."""
    folder = tree(tmp_path)
    path = folder / "ants" / "0.jpg"
    turned = Image.fromarray(picture(7, 24, 24))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(path.with_suffix(".png"), exif=exif)
    source = open_source(settings(folder, held_out=0.9), "validation")
    (row,) = [i for i in range(len(source.records)) if source.key(i) == "ants/0.png"]
    image = np.empty((24, 24, 3), np.uint8)
    source.fetch(row, image)
    np.testing.assert_array_equal(image, np.rot90(picture(7, 24, 24), 3))


def test_changed_images_are_noticed(tmp_path):
    source = open_source(settings(tree(tmp_path)), "train")
    before = content.sample(source)
    tree(tmp_path / "other")
    (tmp_path / source.key(0)).write_bytes(encoded(picture(99, 30, 40), "JPEG"))
    again = open_source(settings(tmp_path / "other"), "train")
    assert content.count_changed(before, content.sample(again)) == 0
    again = open_source(settings(tmp_path, stored="records"), "train")
    assert content.count_changed(before, content.sample(again)) >= 1


def test_a_damaged_image_is_named(tmp_path):
    source = open_source(settings(tree(tmp_path)), "train")
    (tmp_path / source.key(0)).write_bytes(b"no image")
    image, label = np.empty((1, 24, 24, 3), np.uint8), np.empty(1, np.int32)
    with pytest.raises(Exception, match=source.key(0)):
        source.read(np.array([0]), image, label)
    skipping = dataclasses.replace(source, skip_damaged=True)
    skipping.read(np.array([0]), image, label)
    assert label[0] == -1 and list(skipping.problems()) == [source.key(0)]


def test_mistakes(tmp_path):
    (tmp_path / "empty").mkdir()
    folder = str(tree(tmp_path / "tree"))
    for options, message in (
        (["--data.folder", str(tmp_path / "none")], "none is not a folder"),
        (["--data.folder", str(tmp_path / "empty")], "has no folders of classes"),
        (["--data.folder", folder, "--batch-size", "8"], ""),
        (["--data.folder", folder], "larger than the 27 images of 'train'"),
        (
            ["--data.folder", folder, "--data.held-out", "0"],
            "left for validation with --data.held-out 0",
        ),
        (["--data.folder", folder, "--data.stored", "raw"], "has no raw pixels"),
        (["--data.folder", folder, "--data.train-split", "dev"], "no split 'dev'"),
        (["--data.folder", folder, "--data.train-split", "train[:3]"], "no split"),
    ):
        chosen = main.parse(["--workdir", str(tmp_path / "run"), *options]).config
        if not message:
            chosen = class_folders.completed(chosen)
            setup.set_up(chosen, tmp_path / "other").lock.release()
            continue
        with pytest.raises(UserError) as raised:
            setup.set_up(class_folders.completed(chosen), tmp_path / "run")
        assert message in str(raised.value)


def test_a_run_from_end_to_end(tmp_path):
    """Trains, evaluates, predicts the classes; a renamed parent folder is no matter."""
    folder = tree(tmp_path / "here" / "insects", count=20)
    options = [
        *("--workdir", str(tmp_path / "run"), "--num-epochs", "1"),
        *("--batch-size", "16", "--model.fc8.features", "3", "--run.mesh.data", "1"),
    ]

    def command(module, *words):
        result = subprocess.run(
            [sys.executable, "-m", f"alexnet_jax.{module}", *words],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    output = command("main", *options, "--data.folder", str(folder))
    assert "insects, 3 classes: 54 images (train), 6 (validation)" in output
    assert "insects validation, 6 images" in output
    data = workdir.read_config(tmp_path / "run").data
    assert (data.name, data.eval_split) == ("insects", "validation")
    assert "6" in command("evaluate", "--workdir", str(tmp_path / "run"))
    folder.parent.rename(tmp_path / "there")
    moved = str(tmp_path / "there" / "insects")
    assert "is complete" in command("main", *options, "--data.folder", moved)
    model = alexnet_jax.load(tmp_path / "run")
    ((name, _), *_) = model.predict(tmp_path / "there/insects/bees/0.jpg").top(1)[0]
    assert name in CLASSES
