"""evaluate: ten views, ensembles and meshes against plain computations; sets, files."""

import csv
import dataclasses
import io
import json
import shutil

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from stand_ins import encoded, picture, write_dataset, write_tars

import alexnet_jax
from alexnet_jax import (
    augment,
    evaluate,
    metrics,
    model,
    prepare,
    presets,
    train,
)
from alexnet_jax.config import DataConfig, MeshConfig
from alexnet_jax.data import ilsvrc2012
from alexnet_jax.data.source import open_source
from alexnet_jax.errors import UserError
from alexnet_jax.evaluation import ensemble, test_sets
from alexnet_jax.preparation.source_images import Form

NAME = "imagenet2012_32"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A thousand classes, few images: prepared from archives like the official ones."""
    folder = tmp_path_factory.mktemp("data")
    write_tars(folder, num_train=24, num_validation=21)
    prepare.run(
        prepare.Options(
            source=str(folder), data_dir=str(folder), form=Form(image_size=32)
        )
    )
    return folder


def small_config(data_dir, seed):
    digits = presets.DIGITS
    net = digits.model
    return dataclasses.replace(
        digits,
        model=dataclasses.replace(net, fc8=dataclasses.replace(net.fc8, features=1000)),
        data=DataConfig(
            name=NAME,
            data_dir=str(data_dir),
            eval_split="validation",
            image_size=32,
        ),
        batch_size=8,
        num_epochs=2,
        seed=seed,
    )


@pytest.fixture(scope="module")
def runs(data_dir, tmp_path_factory):
    """The run directories of two trained networks."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(2):
        train.train_and_evaluate(small_config(data_dir, seed), folder / str(seed))
    return [folder / str(seed) for seed in range(2)]


def run(*workdirs, **options):
    return evaluate.run(evaluate.Options(workdir=workdirs, **options))


def line_of(table, name):
    """Loss, top-1 and top-5 error from the line that starts with a name."""
    line = next(line for line in table.splitlines() if line.startswith(str(name)))
    *_, loss, top1, top5 = line.split()
    return float(loss), float(top1.rstrip("%")) / 100, float(top5.rstrip("%")) / 100


def load(run_directory, shape=(1, 1)):
    mesh = MeshConfig(data=shape[0], column=shape[1])
    return alexnet_jax.load(run_directory, mesh=mesh)


def read_all(source):
    image = np.zeros((source.num_examples, 32, 32, 3), np.uint8)
    label = np.zeros(source.num_examples, np.int32)
    source.read(np.arange(source.num_examples), image, label)
    return image, label


def plain_ten_views(member, image):
    """The mean softmax of ten crops, cut by hand."""
    mean = np.asarray(member.mean_image)[4:28, 4:28]
    total = 0
    for top, left in ((0, 0), (0, 8), (8, 0), (8, 8), (4, 4)):
        crop = (
            image[:, top : top + 24, left : left + 24].astype(np.float32) - mean[None]
        )
        for view in (crop, (crop + mean[None])[:, :, ::-1] - mean[None]):
            logits = model.logits(member.config.model, member.params, view)
            total += np.asarray(jax.nn.softmax(logits), np.float64)
    return total / 10


@pytest.mark.parametrize("views, count", [(1, 1), (10, 10)])
def test_where_the_views_lie(views, count):
    offsets, flips = augment.test_views(256, 224, views)
    assert len(offsets) == len(flips) == count
    places = {
        (int(t), int(left), bool(f))
        for (t, left), f in zip(offsets, flips, strict=True)
    }
    if views == 1:
        assert places == {(16, 16, False)}
    else:
        corners = {(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)}
        assert places == {(t, left, f) for t, left in corners for f in (False, True)}


def test_ten_views_equal_ten_crops_by_hand(runs, data_dir):
    member = load(runs[0])
    source = open_source(member.network.config.data, "validation")
    found, label = ensemble.predict(
        member, source, num_views=10, batch_size=8, num_workers=2
    )
    image, expected_label = read_all(source)
    with jax.set_mesh(member.mesh):
        expected = plain_ten_views(member.network, image)
    np.testing.assert_array_equal(label, expected_label)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (2, 2)])
def test_any_mesh(runs, shape):
    """21 examples in batches of 8: the last one is filled up."""
    found = []
    for mesh_shape in ((1, 1), shape):
        member = load(runs[0], mesh_shape)
        source = open_source(member.network.config.data, "validation")
        found.append(
            ensemble.predict(member, source, num_views=10, batch_size=8, num_workers=2)
        )
    assert found[0][0].shape == (21, 1000)
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-4)
    np.testing.assert_array_equal(found[1][1], found[0][1])


def test_the_centre_view_is_that_of_training(runs):
    """The same numbers as the last evaluation during training."""
    records = [
        json.loads(line)
        for line in (runs[0] / "metrics.jsonl").read_text().splitlines()
    ]
    last = [record for record in records if record["kind"] == "eval"][-1]
    table = run(runs[0])
    assert table.startswith(f"{NAME} validation, 21 images, 1 view")
    expected = last["loss"], last["top1_error"], last["top5_error"]
    np.testing.assert_allclose(line_of(table, runs[0]), expected, atol=1e-4)


def test_an_ensemble_averages_probabilities(runs, tmp_path):
    files = [tmp_path / f"{n}.npz" for n in ("a", "b", "both")]
    run(runs[0], views=10, predictions=files[0])
    run(runs[1], views=10, predictions=files[1])
    table = run(*runs, views=10, weights=(1.0, 3.0), predictions=files[2])
    a, b, both = (np.load(file) for file in files)
    expected = (a["probabilities"] + 3 * b["probabilities"]) / 4
    np.testing.assert_allclose(both["probabilities"], expected, rtol=1e-4)
    np.testing.assert_allclose(both["probabilities"].sum(axis=1), 1, rtol=1e-4)
    assert both["file_name"][2] == "ILSVRC2012_val_00000003.JPEG"
    assert list(both["class_names"]) == ilsvrc2012.class_names()
    label = ilsvrc2012.validation_labels(None)[:21]
    np.testing.assert_array_equal(both["label"], label)
    own = -np.log(expected[np.arange(21), label]).mean()
    assert line_of(table, "ensemble of 2")[0] == pytest.approx(own, abs=1e-3)
    for member in runs:
        assert line_of(table, member)[0] > 0


@pytest.mark.parametrize("weights", [(1.0,), (1.0, -1.0), (0.0, 0.0)])
def test_weights_that_do_not_fit(runs, weights):
    with pytest.raises(UserError, match="--weights"):
        run(*runs, weights=weights)


def test_submission_and_table_by_class(runs, tmp_path):
    files = {
        "predictions": tmp_path / "p.npz",
        "submission": tmp_path / "s.txt",
        "per_class": tmp_path / "c.csv",
    }
    table = run(runs[0], **files)
    probabilities = np.load(files["predictions"])["probabilities"]
    lines = np.loadtxt(files["submission"], int)
    assert lines.shape == (21, 5)
    best = ilsvrc2012.devkit_ids()[np.argsort(-probabilities, axis=1)[:, :5]]
    np.testing.assert_array_equal(lines, best)
    with files["per_class"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    images = np.array([int(row["images"]) for row in rows])
    errors = np.array([float(row["top5_error"]) for row in rows])
    assert images.sum() == 21
    assert (images * errors).sum() / 21 == pytest.approx(
        line_of(table, runs[0])[2], abs=1e-3
    )


def test_a_submission_needs_the_classes_of_ilsvrc(digits_dir, tmp_path):
    config = dataclasses.replace(
        presets.DIGITS,
        data=dataclasses.replace(presets.DIGITS.data, data_dir=digits_dir),
        num_epochs=0.1,
    )
    train.train_and_evaluate(config, tmp_path / "run")
    with pytest.raises(UserError, match="not those of ILSVRC"):
        run(tmp_path / "run", submission=tmp_path / "s.txt")
    assert not (tmp_path / "s.txt").exists()


def test_checkpoints_by_name(runs):
    newest = line_of(run(runs[0]), runs[0])
    assert line_of(run(runs[0], checkpoint="6"), runs[0]) == newest
    first = line_of(run(runs[0], checkpoint="3"), runs[0])
    assert first != newest
    run(runs[0], checkpoint="best")
    with pytest.raises(UserError, match="no intact checkpoint '4': there are 3, 6"):
        run(runs[0], checkpoint="4")


def test_reading_leaves_the_run_alone(runs):
    before = sorted(runs[0].rglob("*"))
    run(runs[0])
    assert sorted(runs[0].rglob("*")) == before


def test_no_run(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        run(tmp_path)


def test_a_file_that_cannot_be_written(runs, tmp_path):
    with pytest.raises(UserError, match="its folder does not exist"):
        run(runs[0], predictions=tmp_path / "nowhere" / "p.npz")


# --- other sets -----------------------------------------------------------------------


def write_set(folder, name, names, labels, split="test", size=40, **features):
    """Pictures with ILSVRC's classes under a name that tfds has."""
    examples = [
        {
            "image": io.BytesIO(encoded(picture(n, size, size), form="PNG")),
            "label": label,
        }
        for n, label in enumerate(labels)
    ]
    write_dataset(
        folder,
        name,
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=names),
        },
        examples,
        split,
    )


def test_only_the_classes_that_occur_count(runs, tmp_path):
    """-A and -R: the choice is among the classes in the set."""
    labels = [5, 900, 5, 17, 900]
    write_set(tmp_path, "imagenet_r", ilsvrc2012.class_names(), labels)
    file = tmp_path / "p.npz"
    options = {"dataset": "imagenet_r", "data_dir": str(tmp_path)}
    table = run(runs[0], predictions=file, **options)
    assert table.startswith("imagenet_r test, 5 images, 1 view")
    stored = np.load(file)
    names = ilsvrc2012.class_names()
    assert list(stored["class_names"]) == [names[5], names[17], names[900]]
    np.testing.assert_array_equal(stored["label"], [0, 2, 0, 1, 2])
    np.testing.assert_allclose(stored["probabilities"].sum(axis=1), 1, rtol=1e-5)
    right = stored["probabilities"].argmax(axis=1) == stored["label"]
    assert "top-5" not in table  # five guesses among three
    error = float(table.split()[-1].rstrip("%")) / 100
    assert error == pytest.approx(1 - right.mean(), abs=1e-4)


def test_a_subset_of_the_classes_in_another_order(runs, tmp_path):
    names = ilsvrc2012.class_names()
    subset = [names[700], names[3]]
    write_set(tmp_path, "two_kinds", subset, [0, 1, 1])
    write_set(tmp_path, "all_kinds", names, [700, 3, 3])
    options = {"data_dir": str(tmp_path), "split": "test"}
    files = [tmp_path / "two.npz", tmp_path / "all.npz"]
    run(runs[0], dataset="two_kinds", predictions=files[0], **options)
    run(runs[0], dataset="all_kinds", predictions=files[1], **options)
    two, every = (np.load(file)["probabilities"] for file in files)
    chosen = every[:, [700, 3]]
    np.testing.assert_allclose(two, chosen / chosen.sum(1, keepdims=True), rtol=1e-4)


def test_a_class_that_was_not_learned(runs, tmp_path):
    write_set(tmp_path, "pets", ["n01440764", "unicorn"], [0, 1])
    with pytest.raises(UserError, match="not among the 1000 of the network: unicorn"):
        run(runs[0], dataset="pets", data_dir=str(tmp_path))


def test_several_right_answers(runs, tmp_path):
    """-ReaL: any of the classes is right; an image without any does not count."""
    names = ilsvrc2012.class_names()
    label = tfds.features.ClassLabel(names=names)
    pictures = [encoded(picture(n), form="PNG") for n in range(4)]
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "original_label": label,
        "real_label": tfds.features.Sequence(label),
    }

    def write(real):
        shutil.rmtree(tmp_path / "imagenet2012_real", ignore_errors=True)
        examples = [
            {"image": io.BytesIO(pixels), "original_label": 1, "real_label": right}
            for pixels, right in zip(pictures, real, strict=True)
        ]
        write_dataset(tmp_path, "imagenet2012_real", features, examples, "validation")

    file = tmp_path / "p.npz"
    options = {"dataset": "imagenet2012_real", "data_dir": str(tmp_path)}
    write([[1], [1], [1], []])
    assert "3 images" in run(runs[0], predictions=file, **options)
    order = np.argsort(-np.load(file)["probabilities"], axis=1)
    write(
        [
            [int(order[0, 0]), int(order[0, 999])],  # right at once
            [int(order[1, 4])],  # the fifth guess
            [int(order[2, 5])],  # not among five
            [],
        ]
    )
    *_, top1, top5 = run(runs[0], **options).split()
    assert (top1, top5) == ("66.67%", "33.33%")


def test_corruption_errors():
    """AlexNet's own errors give 100 %; half of them, at all severities, 50 %."""
    severities = test_sets.SEVERITIES
    for share in (1.0, 0.5):
        errors = {
            (name, severity): share * error
            for name, error in test_sets.ALEXNET_ERRORS.items()
            for severity in severities
        }
        found = test_sets.corruption_errors(errors)
        assert len(found) == 16
        np.testing.assert_allclose(list(found.values()), share)


def test_corrupted_sets(runs, tmp_path, monkeypatch):
    """Two of the corruptions: ten sets of images of the size of a crop."""
    some = {"snow": 0.5, "fog": 0.25}
    monkeypatch.setattr(test_sets, "ALEXNET_ERRORS", some)
    names = ilsvrc2012.class_names()
    write_set(tmp_path, "plain", names, range(4), "validation", size=24)
    for name, severity in test_sets.corrupted_datasets():
        folder = tmp_path / test_sets.CORRUPTED / f"{name}_{severity}" / "1.0.0"
        shutil.copytree(tmp_path / "plain" / "1.0.0", folder)
        info = folder / "dataset_info.json"
        content = json.loads(info.read_text())
        content |= {
            "name": test_sets.CORRUPTED,
            "configName": f"{name}_{severity}",
        }
        info.write_text(json.dumps(content))
        for shard in folder.glob("plain-*"):
            new = shard.name.replace("plain", test_sets.CORRUPTED)
            shard.rename(folder / new)
    table = run(
        runs[0], dataset=test_sets.CORRUPTED, data_dir=str(tmp_path)
    ).splitlines()
    assert table[0].startswith("imagenet2012_corrupted, 4 images each, 1 view")
    errors = [float(part.rstrip("%")) for part in table[2].split()[1:]]
    assert np.mean(errors[:5]) / some["snow"] == pytest.approx(errors[5], abs=0.1)
    assert table[-1].startswith("mean")


def test_missing_corrupted_sets(runs, tmp_path):
    with pytest.raises(UserError, match="no prepared dataset 'imagenet2012_corrupted/"):
        run(runs[0], dataset=test_sets.CORRUPTED, data_dir=str(tmp_path))


@pytest.mark.parametrize(
    "name, split", [("imagenet_v2/matched-frequency", "test"), ("imagenet_a", "test")]
)
def test_sets_that_are_known(name, split):
    assert test_sets.find(name, None).split == split
    assert test_sets.find(name, "other").split == "other"


def test_scores_of_examples():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(50, 12)).astype(np.float32)
    log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    label = generator.integers(0, 12, 50).astype(np.int32)
    found = metrics.example_scores(log_probabilities, label)
    rank = (log_probabilities > log_probabilities[np.arange(50), label][:, None]).sum(1)
    np.testing.assert_array_equal(found["top1_error"], rank >= 1)
    np.testing.assert_array_equal(found["top5_error"], rank >= 5)
    np.testing.assert_allclose(found["loss"], -log_probabilities[np.arange(50), label])


@pytest.fixture(scope="module")
def few_classes(tmp_path_factory):
    """The run of a network for three classes, on a dataset of its own."""
    folder = tmp_path_factory.mktemp("few")
    images = [io.BytesIO(encoded(picture(n))) for n in range(12)]
    features = {
        "image": tfds.features.Image(),
        "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
    }
    examples = [{"image": image, "label": n % 3} for n, image in enumerate(images)]
    write_dataset(folder, "few", features, examples)
    net, digits = presets.DIGITS.model, presets.DIGITS
    config = dataclasses.replace(
        digits,
        model=dataclasses.replace(net, fc8=dataclasses.replace(net.fc8, features=3)),
        data=DataConfig(
            name="few", data_dir=str(folder), eval_split="train", image_size=28
        ),
        batch_size=4,
        num_epochs=1,
    )
    train.train_and_evaluate(config, folder / "run")
    return folder / "run"


def test_no_top5_error_for_few_classes(few_classes, tmp_path):
    """It would be 0: in no record, no table, no file."""
    records = (few_classes / "metrics.jsonl").read_text()
    assert '"top1_error"' in records and "top5_error" not in records.split("eval")[1]
    table = run(few_classes, per_class=tmp_path / "classes.csv")
    assert table.splitlines()[1].split() == ["loss", "top-1", "error"]
    head, *rows = (tmp_path / "classes.csv").read_text().splitlines()
    assert head == "class,images,top1_error" and len(rows) == 3


def test_a_warning_about_mirror_images(few_classes, runs, capsys):
    """Ten views of a network that was trained without them."""
    run(few_classes, views=10)
    assert "(--augment.horizontal-flip): --views 1" in capsys.readouterr().err
    run(few_classes)
    assert capsys.readouterr().err == ""


def test_best_names_the_images_that_chose_it(few_classes, runs, capsys):
    run(few_classes, checkpoint="best")
    note = "best has the lowest top-1 error on few train, the images of this evaluation"
    assert note in capsys.readouterr().err
    run(runs[0], checkpoint="best", split="train")
    expected = f"note: best has the lowest top-1 error on {NAME} validation\n"
    assert expected in capsys.readouterr().err
