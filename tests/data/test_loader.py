"""loader.py: order, exact coverage, the shares of processes, errors by record."""

import contextlib
import dataclasses
import io
import shutil
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from stand_ins import encoded, write_dataset

from alexnet_jax import columns
from alexnet_jax.config import DataConfig, MeshConfig
from alexnet_jax.data import image_statistics, loader
from alexnet_jax.data.source import open_source
from alexnet_jax.errors import UserError


@pytest.fixture
def settings(digits_dir):
    return DataConfig(name="digits", data_dir=digits_dir, image_size=8)


@pytest.fixture
def train_source(settings):
    return open_source(settings, "train")


@pytest.fixture
def sharding():
    mesh = columns.make_mesh(MeshConfig(data=2, column=2), 2, jax.devices())
    return columns.batch_sharding(mesh)


def take(source, sharding, start_step, count, num_workers=2, batch_size=64):
    batches = loader.train_batches(
        source,
        seed=3,
        batch_size=batch_size,
        start_step=start_step,
        sharding=sharding,
        num_workers=num_workers,
    )
    with contextlib.closing(batches):
        return [jax.tree.map(np.asarray, next(batches)) for _ in range(count)]


def test_each_epoch_has_every_example_once():
    """Batches of 64 straddle the epochs of 150: three epochs are 450 positions."""
    order = np.concatenate(
        [loader.batch_indices(1, step, 64, 150) for step in range(8)]
    )
    for epoch in range(3):
        part = order[epoch * 150 : (epoch + 1) * 150]
        np.testing.assert_array_equal(np.sort(part), np.arange(150))
    assert not np.array_equal(order[:150], order[150:300])


def test_a_batch_larger_than_the_dataset():
    indices = loader.batch_indices(0, 1, 25, 10)
    assert len(indices) == 25
    assert np.bincount(indices, minlength=10).min() == 2


def test_order_is_pinned():
    """If this fails, runs started earlier no longer resume exactly."""
    np.testing.assert_array_equal(
        loader.batch_indices(seed=0, step=3, batch_size=8, num_examples=20),
        PINNED_ORDER,
    )


PINNED_ORDER = [14, 15, 16, 10, 1, 9, 7, 19]


def test_batches_resume_anywhere(train_source, sharding):
    whole = take(train_source, sharding, 0, 30)
    for expected, found in zip(
        whole[21:], take(train_source, sharding, 21, 9), strict=True
    ):
        np.testing.assert_array_equal(found["image"], expected["image"])
        np.testing.assert_array_equal(found["label"], expected["label"])


def test_batches_do_not_depend_on_the_number_of_threads(train_source, sharding):
    one = take(train_source, sharding, 0, 3, num_workers=1)
    five = take(train_source, sharding, 0, 3, num_workers=5)
    for expected, found in zip(one, five, strict=True):
        np.testing.assert_array_equal(found["image"], expected["image"])


def test_pixels_are_those_of_scikit_learn(train_source):
    """8x8 grey values of 0 to 16 on the 0-255 scale, in three equal channels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    indices = np.arange(train_source.num_examples)
    image = np.empty((len(indices), 8, 8, 3), np.uint8)
    label = np.empty(len(indices), np.int32)
    train_source.read(indices, image, label)
    train = np.arange(1797) % 5 != 0
    expected = np.round(digits.images[train] * (255 / 16)).astype(np.uint8)
    np.testing.assert_array_equal(image, np.repeat(expected[..., None], 3, axis=-1))
    np.testing.assert_array_equal(label, digits.target[train])


@pytest.mark.parametrize("batch_size", [64, 360, 500])
def test_evaluation_sees_each_example_once(settings, sharding, batch_size):
    source = open_source(settings, "test")
    batches = loader.eval_batches(
        source, batch_size=batch_size, sharding=sharding, num_workers=2
    )
    labels = []
    for batch in batches:
        assert batch["image"].shape == (batch_size, 8, 8, 3)
        labels.append(np.asarray(batch["label"])[np.asarray(batch["mask"])])
    from sklearn.datasets import load_digits

    expected = load_digits().target[::5]
    np.testing.assert_array_equal(np.concatenate(labels), expected)
    assert len(expected) == 360


def test_threads_end_with_the_iterator(train_source, sharding):
    take(train_source, sharding, 0, 2)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("decode", "load"))]


def test_threads_end_with_an_error(train_source, sharding):
    class Damaged:
        num_examples, image_size = 1000, 8

        def read(self, indices, image, label):
            raise ValueError("record 7")

    batches = loader.eval_batches(
        Damaged(), batch_size=64, sharding=sharding, num_workers=2
    )
    with pytest.raises(ValueError, match="record 7"):
        next(batches)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("decode", "load"))]


def test_transfers_are_explicit(train_source, sharding):
    """For all threads, where `jax.transfer_guard` is for the one that calls it."""
    jax.config.update("jax_transfer_guard", "disallow")
    try:
        batches = loader.eval_batches(
            train_source, batch_size=64, sharding=sharding, num_workers=2
        )
        with contextlib.closing(batches):
            batch = next(batches)
    finally:
        jax.config.update("jax_transfer_guard", "allow")
    assert {array.sharding for array in batch.values()} == {sharding}


def test_rows_of_processes():
    """Two processes with the columns of the same images read the same rows; with
    different images each its own. Rows that two devices share are read once."""

    def rows(*slices):
        return loader.local_rows(
            SimpleNamespace(
                addressable_devices_indices_map=lambda shape: {
                    number: (part,) for number, part in enumerate(slices)
                }
            ),
            8,
        )

    assert rows(slice(None)) == [(0, 8)]
    assert rows(slice(0, 4), slice(0, 4)) == [(0, 4)]
    assert rows(slice(4, 8), slice(0, 4)) == [(0, 4), (4, 8)]
    assert rows(slice(4, 8)) == [(4, 8)]


def test_unknown_dataset(settings):
    with pytest.raises(
        UserError, match="no prepared dataset 'cifra10'.*available: digits"
    ):
        open_source(dataclasses.replace(settings, name="cifra10"), "train")


@pytest.mark.parametrize("name", ["", "a/b/c", "../digits", "cifar-10"])
def test_a_name_that_is_none(settings, name):
    with pytest.raises(UserError, match="no prepared dataset .*available: digits"):
        open_source(dataclasses.replace(settings, name=name), "train")


def test_unknown_split(settings):
    with pytest.raises(UserError, match="no split 'validation': its splits are"):
        open_source(settings, "validation")


def test_missing_feature(tmp_path):
    write_dataset(
        tmp_path,
        "texts",
        {"text": tfds.features.Text()},
        [{"text": "a"}, {"text": "b"}],
    )
    settings = DataConfig(name="texts", data_dir=str(tmp_path), image_size=8)
    with pytest.raises(UserError, match="no feature 'image' of type Image: .* text"):
        open_source(settings, "train")


def test_label_that_is_no_class(tmp_path):
    features = {
        "image": tfds.features.Image(shape=(8, 8, 3), encoding_format="jpeg"),
        "label": tfds.features.Text(),
    }
    image = encoded(np.zeros((8, 8, 3), np.uint8))
    write_dataset(
        tmp_path, "captions", features, [{"image": io.BytesIO(image), "label": "a cat"}]
    )
    settings = DataConfig(name="captions", data_dir=str(tmp_path), image_size=8)
    with pytest.raises(
        UserError, match=r"'label' of type ClassLabel: .*label \(Text\)"
    ):
        open_source(settings, "train")


def test_a_format_without_random_access(tmp_path, digits_dir):
    """A copy of the digits that says of itself that it is stored as tfrecord."""
    version = tmp_path / "numerals" / "1.0.0"
    shutil.copytree(f"{digits_dir}/digits/1.0.0", version)
    info = version / "dataset_info.json"
    content = info.read_text().replace("array_record", "tfrecord")
    info.write_text(content.replace('"name": "digits"', '"name": "numerals"'))
    settings = DataConfig(name="numerals", data_dir=str(tmp_path), image_size=8)
    with pytest.raises(UserError, match="stored as tfrecord, .*--source numerals"):
        open_source(settings, "train")


def test_a_damaged_record_is_named(tmp_path, sharding):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    good = encoded(pixels)
    examples = [
        {"image": io.BytesIO(content), "label": 0, "file_name": f"{number}.jpg"}
        for number, content in enumerate([good, good, good[:-200], good])
    ]
    write_dataset(
        tmp_path,
        "photos",
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(num_classes=2),
            "file_name": tfds.features.Text(),
        },
        examples,
    )
    settings = DataConfig(name="photos", data_dir=str(tmp_path), image_size=16)
    source = open_source(settings, "train")
    with pytest.raises(ValueError, match=r"photos, split train, record 2 .*2\.jpg"):
        list(
            loader.eval_batches(source, batch_size=4, sharding=sharding, num_workers=2)
        )


@pytest.fixture
def damaged(tmp_path):
    """Twelve pictures of one colour each, of which 2, 3 and 11 are damaged."""
    examples = []
    for number in range(12):
        content = encoded(np.full((8, 8, 3), 20 * number, np.uint8), form="PNG")
        content = content[:-30] if number in (2, 3, 11) else content
        examples.append({"image": io.BytesIO(content), "label": number})
    features = {
        "image": tfds.features.Image(shape=(8, 8, 3)),
        "label": tfds.features.ClassLabel(num_classes=12),
    }
    write_dataset(tmp_path, "colours", features, examples)
    settings = DataConfig(
        name="colours", data_dir=str(tmp_path), image_size=8, damaged="skip"
    )
    return open_source(settings, "train")


def test_damaged_records_are_skipped_and_counted(damaged, sharding):
    """In training the next one stands for them: 4 for 2 and 3, 0 for 11."""
    batch = take(damaged, sharding, 0, 1, batch_size=12)[0]
    expected = sorted([0, 1, 4, 4, 4, 5, 6, 7, 8, 9, 10, 0])
    assert sorted(batch["label"]) == expected
    np.testing.assert_array_equal(batch["image"][:, 3, 3, 1], 20 * batch["label"])
    assert set(damaged.skipped) == {2, 3, 11}


def test_damaged_records_are_not_evaluated(damaged, sharding):
    batches = loader.eval_batches(
        damaged, batch_size=4, sharding=sharding, num_workers=2
    )
    labels = np.concatenate([np.asarray(batch["label"]) for batch in batches])
    np.testing.assert_array_equal(np.flatnonzero(labels < 0), [2, 3, 11])


def test_statistics_leave_damaged_records_out(damaged):
    found = image_statistics.compute(damaged, num_workers=2)
    readable = [n for n in range(12) if n not in (2, 3, 11)]
    np.testing.assert_allclose(found.mean_image, 20 * np.mean(readable), rtol=1e-6)


PROCESS = """
import contextlib, sys
import jax, numpy as np
rank, port, folder, out = int(sys.argv[1]), *sys.argv[2:]
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.config.update("jax_num_cpu_devices", 2)
jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=rank)
from alexnet_jax import columns
from alexnet_jax.config import DataConfig, MeshConfig
from alexnet_jax.data import loader, source as sources
settings = DataConfig(name="digits", data_dir=folder, image_size=8)
source = sources.open_source(settings, "train")
mesh = columns.make_mesh(MeshConfig(data=4, column=1), 2, jax.devices())
read = []
plain = source.fetch
source = __import__("dataclasses").replace(
    source, fetch=lambda index, out: read.append(index) or plain(index, out)
)
batches = loader.train_batches(
    source, seed=5, batch_size=96, start_step=0,
    sharding=columns.batch_sharding(mesh), num_workers=2,
)
with contextlib.closing(batches):
    for _ in range(-(-source.num_examples // 96)):
        next(batches)
np.save(f"{out}/{rank}.npy", np.array(read))
"""


def test_two_processes_share_an_epoch(digits_dir, tmp_path):
    """Real processes: together they read each of the 1,437 examples once, and the rest
    of the last batch belongs to the next epoch; what they read ahead comes after."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(rank), port, digits_dir, str(tmp_path)]
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    steps = -(-1437 // 96)
    order = np.concatenate([loader.batch_indices(5, k, 96, 1437) for k in range(steps)])
    shares = [np.load(tmp_path / f"{rank}.npy") for rank in range(2)]
    # Threads of one process finish in any order, but batches follow one another.
    in_epoch = np.concatenate([share[: steps * 48] for share in shares])
    np.testing.assert_array_equal(np.sort(in_epoch), np.sort(order))
    np.testing.assert_array_equal(np.sort(order[:1437]), np.arange(1437))
    assert all(len(share) >= steps * 48 for share in shares)


def test_cifar10(test_data, sharding):
    """A dataset that tfds prepared: its own decoding gives the same images."""
    folder = str(test_data / "tfds")
    settings = DataConfig(name="cifar10", data_dir=folder, image_size=32)
    source = open_source(settings, "train")
    assert (source.num_examples, source.num_classes) == (50_000, 10)
    batch = take(source, sharding, 5, 1)[0]
    records = tfds.data_source("cifar10", split="train", data_dir=folder)
    indices = loader.batch_indices(3, 5, 64, 50_000)
    expected = np.stack([records[int(index)]["image"] for index in indices])
    # Decoders of JPEG may differ by a grey level in rounding.
    difference = np.abs(batch["image"].astype(int) - expected.astype(int))
    assert difference.max() <= 2
    assert difference.mean() < 0.1
