"""prepare: every source and fault, the same bytes after kills, read by tfds alone."""

import hashlib
import io
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import time
import zlib

import numpy as np
import pytest
import stand_ins
import tensorflow_datasets as tfds
from stand_ins import encoded, picture, train_images, write_tars

from alexnet_jax import prepare
from alexnet_jax.config import DataConfig
from alexnet_jax.data import decoding, ilsvrc2012, image_statistics, tfds_records
from alexnet_jax.data.source import open_source
from alexnet_jax.errors import UserError
from alexnet_jax.preparation import write_dataset
from alexnet_jax.preparation.source_images import Form
from alexnet_jax.system import lock

SIZE = 32


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tars")
    write_tars(folder)
    return folder


@pytest.fixture(scope="module")
def prepared(tars, tmp_path_factory):
    """A data directory with the tars prepared, raw pixels too."""
    data_dir = tmp_path_factory.mktemp("prepared")
    assert run(tars, data_dir, raw=True) == 0
    return data_dir


def run(source, data_dir, **options):
    options = {"form": Form(image_size=SIZE), "num_workers": 2} | options
    source = str(source) if source is not None else None
    return prepare.run(
        prepare.Options(source=source, data_dir=str(data_dir), **options)
    )


def open_split(data_dir, split="train", name=f"imagenet2012_{SIZE}", stored="records"):
    settings = DataConfig(
        name=name, data_dir=str(data_dir), image_size=SIZE, stored=stored
    )
    return open_source(settings, split)


def read_all(source):
    count = source.num_examples
    image = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    label = np.zeros(count, np.int32)
    source.read(np.arange(count), image, label)
    return image, label


def file_names(source):
    return [record["file_name"].decode() for record in source.records]


def test_facts_of_ilsvrc():
    """The table agrees with tfds on the order of classes and with the known counts."""
    labels = tfds_records.package_file("datasets/imagenet2012/labels.txt").split()
    assert ilsvrc2012.class_names() == labels
    counts = [synset.num_train_images for synset in ilsvrc2012.synsets()]
    assert sum(counts) == ilsvrc2012.TRAIN_IMAGES == 1_281_167
    assert sorted(ilsvrc2012.devkit_ids()) == list(range(1, 1001))
    validation = ilsvrc2012.validation_labels(None)
    assert (np.bincount(validation) == 50).all() and len(validation) == 50_000


def test_tars_by_name_label_and_pixels(prepared):
    """Each image has its own name, label and pixels; the order is shuffled once."""
    source = open_split(prepared)
    image, label = read_all(source)
    names = file_names(source)
    expected = {name: (synset, jpeg) for synset, name, jpeg in train_images(24, 6)}
    assert sorted(names) == sorted(expected) and names != sorted(names)
    for row, name in enumerate(names):
        synset, jpeg = expected[name]
        assert source.class_names[label[row]] == synset
        pixels = decoding.fit(decoding.decode(jpeg), SIZE).astype(float)
        assert np.abs(pixels - image[row]).mean() < 6  # but for the JPEG


def test_validation_images_keep_their_order(prepared):
    source = open_split(prepared, "validation")
    numbers = range(1, 11)
    assert file_names(source) == [f"ILSVRC2012_val_{n:08d}.JPEG" for n in numbers]
    np.testing.assert_array_equal(
        read_all(source)[1], ilsvrc2012.validation_labels(None)[:10]
    )


def test_plain_tfds_reads_it(prepared):
    folder = prepared / f"imagenet2012_{SIZE}" / write_dataset.VERSION
    builder = tfds.builder_from_directory(folder)
    assert builder.info.splits["train"].num_examples == 24
    example = builder.as_data_source(split="train")[3]
    assert set(example) == {"image", "label", "file_name"}
    np.testing.assert_array_equal(
        example["image"], read_all(open_split(prepared))[0][3]
    )


def test_statistics_equal_a_direct_computation(prepared):
    source = open_split(prepared)
    pixels = read_all(source)[0].astype(np.float64)
    found = image_statistics.load(source.directory / image_statistics.FILE)
    np.testing.assert_allclose(found.mean_image, pixels.mean(axis=0), rtol=1e-6)
    expected = np.cov(pixels.reshape(-1, 3), rowvar=False, ddof=0)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-9)


def test_a_run_takes_the_prepared_statistics(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(image_statistics, "compute", None)  # a pass would fail
    source = open_split(prepared)
    image_statistics.load_or_compute(source, tmp_path / "statistics.npz", num_workers=1)
    with pytest.raises(TypeError):  # part of a split has others
        part = open_split(prepared, "train[:10]")
        image_statistics.load_or_compute(part, tmp_path / "part.npz", num_workers=1)


@pytest.mark.parametrize("split", ["train", "validation", "train[5:17]", "train[50%:]"])
def test_raw_pixels_are_those_of_the_records(prepared, split):
    from_records = read_all(open_split(prepared, split))
    from_raw = read_all(open_split(prepared, split, stored="raw"))
    in_memory = open_split(prepared, split, stored="memory")
    for _ in range(2):  # the second time from memory
        for expected, a, b in zip(
            from_records, from_raw, read_all(in_memory), strict=True
        ):
            np.testing.assert_array_equal(a, expected)
            np.testing.assert_array_equal(b, expected)


def test_raw_pixels_of_another_size_are_not_taken(prepared):
    settings = DataConfig(
        name=f"imagenet2012_{SIZE}",
        data_dir=str(prepared),
        image_size=SIZE // 2,
        stored="raw",
    )
    with pytest.raises(UserError, match="prepare --raw"):
        open_source(settings, "train")


def test_says_what_is_missing(tars, tmp_path, capsys):
    run(tars, tmp_path)
    shown = capsys.readouterr().out
    assert "training images: 24 of 1,281,167; 994 synsets have none" in shown
    assert "n01440764 (4 of 1300)" in shown
    assert "validation images: 10 of 50,000; the first missing image is number 11" in (
        shown
    )


@pytest.mark.parametrize("cut", [0.3, 0.9])
@pytest.mark.parametrize("name", ["ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"])
def test_an_archive_that_is_cut_off(tars, tmp_path, name, cut):
    content = (tars / name).read_bytes().rstrip(b"\0")
    (tmp_path / name).write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(UserError, match="damaged or cut off"):
        run(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_archives_without_images(tmp_path):
    for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"):
        stand_ins.archive(tmp_path / name, [])
        with pytest.raises(UserError, match=f"{name} is damaged .*no files inside"):
            run(tmp_path, tmp_path / "out")
        (tmp_path / name).unlink()


def test_names_that_repeat_in_an_archive(tars, tmp_path):
    train, validation = (
        tmp_path / name
        for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")
    )
    files = [(f"ILSVRC2012_val_{n:08d}.JPEG", b"") for n in (1, 2, 2)]
    stand_ins.archive(validation, files)
    with pytest.raises(UserError, match="1 names more than once .*_val_00000002"):
        run(tmp_path, tmp_path / "out")
    files = [(f"{n}", b"") for n in (*range(1, 50_001), 7)]
    stand_ins.archive(validation, files)
    with pytest.raises(UserError, match="1 names more than once .*_val_00000007"):
        run(tmp_path, tmp_path / "out")
    validation.unlink()
    with tarfile.open(tars / train.name) as tar:
        inner = [(m.name, tar.extractfile(m).read()) for m in tar]  # type: ignore
    stand_ins.archive(train, [*inner, inner[0]])
    with pytest.raises(UserError, match="4 names more than once .*n01440764_0.JPEG"):
        run(tmp_path, tmp_path / "out")


def test_a_huge_image_in_an_archive(tmp_path, monkeypatch):
    files = [(f"ILSVRC2012_val_{n:08d}.JPEG", encoded(picture(n))) for n in (1, 2)]
    files.append(("ILSVRC2012_val_00000003.JPEG", bytes(10_000)))
    stand_ins.archive(tmp_path / "ILSVRC2012_img_val.tar", files)
    monkeypatch.setattr(decoding, "MAX_BYTES", 9_999)
    run(tmp_path, tmp_path)
    source = open_split(tmp_path, "validation")
    assert source.num_examples == 2
    report = json.loads((source.directory / write_dataset.REPORT).read_text())
    (line,) = report["unreadable"]["validation"]
    assert line.endswith("10,000 bytes are more than 9,999, the limit")


def test_a_dataset_that_others_prepared_is_not_overwritten(tars, tmp_path):
    folder = tmp_path / f"imagenet2012_{SIZE}" / write_dataset.VERSION
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match="was not prepared by alexnet_jax.prepare"):
        run(tars, tmp_path)
    (folder / write_dataset.REPORT).write_text("[]")
    with pytest.raises(UserError, match="was not prepared by alexnet_jax.prepare"):
        run(tars, tmp_path)


def test_a_damaged_journal(tars, tmp_path):
    working = tmp_path / f"imagenet2012_{SIZE}" / f".{write_dataset.VERSION}.partial"
    working.mkdir(parents=True)
    for content in (b"", b"PK", b"text"):
        (working / "journal.npz").write_bytes(content)
        with pytest.raises(UserError, match="journal.npz is damaged .*start over"):
            run(tars, tmp_path)


def test_the_devkit_overrides(tars, tmp_path):
    """A ground truth that gives image i the devkit class i."""
    ids = np.arange(50_000) % 1000 + 1
    devkit = tmp_path / "devkit.tar.gz"
    text = "\n".join(map(str, ids)).encode()
    with tarfile.open(devkit, "w:gz") as tar:
        name = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
        member = tarfile.TarInfo(name)
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    run(tars, tmp_path, devkit=devkit)
    label = read_all(open_split(tmp_path, "validation"))[1]
    np.testing.assert_array_equal(ilsvrc2012.devkit_ids()[label], ids[:10])
    with pytest.raises(UserError, match="no readable"):
        run(tars, tmp_path, devkit=tars / "ILSVRC2012_img_val.tar")


# --- faults ---------------------------------------------------------------------------


def plant_faults(folder):
    """A tree of two classes: readable pictures of all kinds, and what is none."""
    good = {
        "plain.jpg": encoded(picture(0)),
        "grey.jpg": encoded(picture(1), mode="L"),
        "cmyk.jpg": encoded(picture(2), mode="CMYK"),
        "png_inside.jpg": encoded(picture(3), form="PNG"),
        "transparent.png": encoded(picture(4), form="PNG", mode="RGBA"),
        "pixel.png": encoded(picture(5, 1, 1), form="PNG"),
        "bad_exif.jpg": encoded(picture(6), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        "extraneous.jpg": with_extraneous_bytes(encoded(picture(7))),
    }
    bomb = encoded(np.zeros((1, 1, 3), np.uint8), form="PNG")
    bad = {
        "truncated.jpg": encoded(picture(8))[:-300],
        "empty.jpg": b"",
        "notes.txt": b"not an image",
        "bomb.png": resized_header(bomb, 20_000),
        "bomb.jpg": encoded(np.zeros((20_000, 20_000), np.uint8), quality=1),
    }
    for label, files in (("a", good), ("b", bad | {"other.jpg": good["plain.jpg"]})):
        (folder / "train" / label).mkdir(parents=True)
        for name, content in files.items():
            (folder / "train" / label / name).write_bytes(content)
    return [f"a/{name}" for name in good] + ["b/other.jpg"], [f"b/{n}" for n in bad]


def with_extraneous_bytes(jpeg):
    """Padding before the end marker, which libjpeg warns about."""
    return jpeg[:-2] + b"\0" * 40 + jpeg[-2:]


def resized_header(png, side):
    """A PNG whose header claims side x side pixels."""
    header = struct.pack(">II", side, side) + png[24:29]
    chunk = b"IHDR" + header
    return png[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


def test_planted_faults(tmp_path, capsys):
    good, bad = plant_faults(tmp_path / "pictures")
    assert run(tmp_path / "pictures", tmp_path, check=True) == 0
    source = open_split(tmp_path, name=f"pictures_{SIZE}")
    assert sorted(file_names(source)) == sorted(good)
    report = json.loads((source.directory / write_dataset.REPORT).read_text())
    listed = [line.split(":")[0] for line in report["unreadable"]["train"]]
    assert sorted(listed) == sorted(bad)
    shown = capsys.readouterr().out
    assert all(f"left out of train: {name}" in shown for name in bad)
    assert "20000 x 20000 pixels are more than" in shown


def test_too_many_faults_stop_the_job(tmp_path):
    plant_faults(tmp_path / "pictures")
    with pytest.raises(UserError, match="5 images .* than --max-unreadable 2"):
        run(tmp_path / "pictures", tmp_path, max_unreadable=2)
    assert not (tmp_path / f"pictures_{SIZE}" / write_dataset.VERSION).exists()
    assert run(tmp_path / "pictures", tmp_path, max_unreadable=5) == 0


def test_the_disk_is_too_small(tars, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"takes about .* GB left"):
        run(tars, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_job_at_a_time(tars, tmp_path):
    working = tmp_path / f"imagenet2012_{SIZE}" / f".{write_dataset.VERSION}.partial"
    working.mkdir(parents=True)
    held = lock.Lock(working)
    with pytest.raises(lock.Taken, match=f"another process .*process {os.getpid()} on"):
        run(tars, tmp_path)
    held.release()
    run(tars, tmp_path)


def test_one_job_of_raw_pixels_at_a_time(prepared, tmp_path):
    folder = copy_of(prepared, tmp_path)
    shutil.rmtree(folder / "raw")
    working = folder / ".raw.partial"
    working.mkdir()
    held = lock.Lock(working)
    with pytest.raises(lock.Taken, match=f"another process .*process {os.getpid()} on"):
        run(None, tmp_path, name=f"imagenet2012_{SIZE}", raw=True)
    held.release()
    run(None, tmp_path, name=f"imagenet2012_{SIZE}", raw=True)
    assert digest(tmp_path) == digest(prepared)


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "a b", "..", "2012"])
def test_names_that_no_dataset_has(tars, tmp_path, capsys, name):
    with pytest.raises(UserError, match="no name for a dataset: choose a --name of"):
        run(tars, tmp_path / "a" / "b", name=name)
    assert not list(tmp_path.iterdir()) and not capsys.readouterr().out


def test_a_data_directory_that_is_not_utf8(tars, tmp_path):
    with pytest.raises(UserError, match=r"/\\udcff is not UTF-8"):
        run(tars, tmp_path / os.fsdecode(b"\xff"))
    assert not list(tmp_path.iterdir())


def test_other_settings_are_refused(prepared, tars, tmp_path):
    with pytest.raises(UserError, match="quality: 95 there, 50 now"):
        run(tars, prepared, form=Form(image_size=SIZE, quality=50))


# --- other sources --------------------------------------------------------------------


def test_class_folders(tmp_path):
    for split in ("train", "val"):
        for label, name in enumerate(("cat", "dog")):
            folder = tmp_path / "My-Pets" / split / name
            folder.mkdir(parents=True)
            (folder / f"{split}{label}.jpg").write_bytes(encoded(picture(label)))
            (folder / ".hidden").write_bytes(b"")
    run(tmp_path / "My-Pets", tmp_path)
    train = open_split(tmp_path, name=f"my_pets_{SIZE}")
    assert train.class_names == ["cat", "dog"]
    names = dict(zip(file_names(train), read_all(train)[1], strict=True))
    assert names == {"cat/train0.jpg": 0, "dog/train1.jpg": 1}
    validation = open_split(tmp_path, "validation", name=f"my_pets_{SIZE}")
    assert file_names(validation) == ["cat/val0.jpg", "dog/val1.jpg"]


def test_class_folders_with_what_is_no_image(tmp_path):
    """Each is listed, and the others are prepared; an odd name does no harm."""
    folder = tmp_path / "pets" / "cat"
    folder.mkdir(parents=True)
    odd = os.fsdecode(b"\xff\x1b[31m.jpg")
    (folder / odd).write_bytes(encoded(picture(0)))
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "gone.jpg").symlink_to("nowhere")
    assert run(tmp_path / "pets", tmp_path) == 0
    source = open_split(tmp_path, name=f"pets_{SIZE}")
    assert file_names(source) == ["cat/\\udcff\x1b[31m.jpg"]
    report = json.loads((source.directory / write_dataset.REPORT).read_text())
    gone, pipe, zero = sorted(report["unreadable"]["train"])
    assert gone.startswith("number 0: ") and gone.endswith("pets/cat/gone.jpg'")
    assert pipe == "number 1: cat/pipe.jpg: not a regular file"
    assert zero == "number 2: cat/zero.jpg: not a regular file"


@pytest.mark.parametrize("name", [b"\xff", b"two\nlines", b" cat", b"a\xe2\x80\xa8b"])
def test_class_folders_with_odd_names_are_refused(tmp_path, name):
    folder = tmp_path / "pets" / os.fsdecode(name)
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(encoded(picture(0)))
    with pytest.raises(UserError, match="class folder .* not UTF-8, has line breaks"):
        run(tmp_path / "pets", tmp_path)


def test_two_folders_of_one_split(tmp_path):
    for name in ("train", "val", "validation"):
        (tmp_path / name / "cat").mkdir(parents=True)
        (tmp_path / name / "cat" / "a.jpg").write_bytes(encoded(picture(0)))
    with pytest.raises(UserError, match="split validation, val and validation"):
        run(tmp_path, tmp_path / "out")


def write_tfrecord(path, records):
    """The format of TensorFlow; the checksums, which are not read, are 0."""
    with open(path, "wb") as file:
        for record in records:
            file.write(struct.pack("<QI", len(record), 0) + record + bytes(4))


def test_a_tfds_dataset_in_either_format(tmp_path):
    """The same images as ArrayRecord and as TFRecord give the same dataset."""
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["x", "y"]),
            "id": tfds.features.Text(),
        }
    )
    examples = [
        {
            "image": io.BytesIO(encoded(picture(n), form="PNG")),
            "label": n % 2,
            "id": f"i{n}",
        }
        for n in range(9)
    ]
    stand_ins.write_dataset(tmp_path, "photos", dict(features), examples)
    run("photos", tmp_path)
    first = read_all(open_split(tmp_path, name=f"photos_{SIZE}"))

    version = tmp_path / "photos" / "1.0.0"
    shard = next(version.glob("*array_record*"))
    records = [
        features.serialize_example(example | {"image": encoded(picture(n), form="PNG")})
        for n, example in enumerate(examples)
    ]
    write_tfrecord(str(shard).replace("array_record", "tfrecord"), records)
    shard.unlink()
    info = version / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    run("photos", tmp_path, name="again")
    second = open_split(tmp_path, name="again")
    assert sorted(file_names(second)) == [f"i{n}" for n in range(9)]
    for expected, found in zip(first, read_all(second), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("source", ["./nothing", "nothing"])
def test_a_source_that_is_none(tmp_path, source):
    with pytest.raises(UserError, match="no such file|no prepared dataset"):
        run(source, tmp_path)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", ["{", "", "null", '{"name": 3}', "{}"])
def test_metadata_that_cannot_be_read(prepared, tmp_path, name, content):
    (copy_of(prepared, tmp_path) / name).write_text(content)
    with pytest.raises(UserError, match=f"in {tmp_path}: its dataset_info.json or"):
        open_split(tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match="no folders of classes"):
        run(tmp_path, tmp_path / "out")


# --- checking -------------------------------------------------------------------------


def copy_of(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return tmp_path / f"imagenet2012_{SIZE}" / write_dataset.VERSION


def change_byte(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


def test_check_finds_nothing(prepared, capsys):
    assert run(None, prepared, name=f"imagenet2012_{SIZE}", check=True) == 0
    shown = capsys.readouterr().out
    assert "train: 24 of 1,281,167 images can be read, 6 of 1000 classes" in shown
    assert "raw pixels compared" in shown and "no faults" in shown


@pytest.mark.parametrize(
    "pattern, place, message",
    [
        ("raw/*train*", 5 * SIZE * SIZE * 3, "train: raw pixels of record 5 differ"),
        ("raw/*train*", -4, "train: raw pixels of record 23 differ"),
        ("statistics.npz", None, "statistics.npz does not match the images"),
        ("*validation.array*", 3000, "validation: record . is damaged"),
    ],
)
def test_check_finds_changes(prepared, tmp_path, capsys, pattern, place, message):
    folder = copy_of(prepared, tmp_path)
    path = next(folder.glob(pattern))
    if place is not None:
        change_byte(path, place)
    else:
        found = image_statistics.load(path)
        found.mean_image[3, 3] += 1
        source = open_split(tmp_path)
        image_statistics.save(path, found, source.fingerprint)
    assert run(None, tmp_path, name=f"imagenet2012_{SIZE}", check=True) == 1
    assert re.search(message, capsys.readouterr().err)


# --- kills ----------------------------------------------------------------------------

SLOWLY = """
import sys
from alexnet_jax import prepare
from alexnet_jax.preparation import write_dataset
write_dataset._SHARD, write_dataset._CHUNK = 20, 4
sys.exit(prepare.main())
"""


def command(tars, data_dir):
    options = ["--source", tars, "--data-dir", data_dir, "--raw", "--num-workers", "2"]
    return [sys.executable, "-c", SLOWLY, *map(str, options), "--image-size", "200"]


def digest(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def kill_often(tmp_path, kills, seconds):
    """Prepares in one go and, in another directory, with that many random kills."""
    tars = tmp_path / "tars"
    tars.mkdir()
    write_tars(tars, num_train=240, num_validation=60)
    done = subprocess.run(command(tars, tmp_path / "whole"), capture_output=True)
    assert done.returncode == 0, done.stderr
    chance = random.Random(0)
    interrupted = 0
    for _ in range(kills):
        process = subprocess.Popen(
            command(tars, tmp_path / "parts"), stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()  # the work begins
        time.sleep(chance.uniform(0, seconds))
        process.kill()
        interrupted += process.wait() != 0
        process.stdout.close()
    done = subprocess.run(command(tars, tmp_path / "parts"), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "parts") == digest(tmp_path / "whole")
    return interrupted


def test_the_same_bytes_after_two_kills(tmp_path):
    assert kill_often(tmp_path, 2, 0.3) > 0


@pytest.mark.slow
def test_the_same_bytes_after_twenty_kills(tmp_path):
    assert kill_often(tmp_path, 20, 0.3) >= 15


# --- the real sample ------------------------------------------------------------------


def test_the_real_sample(test_data, tmp_path, capsys):
    source = test_data / "ilsvrc2012_sample"
    form = Form()
    assert run(source, tmp_path, form=form, raw=True, check=True) == 0
    name = "imagenet2012_256"
    settings = DataConfig(name=name, data_dir=str(tmp_path), image_size=256)
    train = open_source(settings, "train")
    assert (train.num_examples, train.num_classes) == (400, 1000)
    assert open_source(settings, "validation").num_examples == 300
    found = image_statistics.load(train.directory / image_statistics.FILE)
    stddev, direction = image_statistics.principal_components(found.covariance)
    # cuda-convnet2's of all images (input_meta), to a fifth: 400 images are not all.
    np.testing.assert_allclose(stddev, [121.78, 37.09, 19.72], rtol=0.2)
    np.testing.assert_allclose(direction[0], 3**-0.5, atol=0.02)  # near grey
