"""CIFAR-10, Tiny ImageNet and MNIST from their official archives, with few images."""

import gzip
import hashlib
import itertools
import random
import re
import shlex
import struct
import subprocess
import sys
import tarfile
import time
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from stand_ins import archive, encoded, picture

from alexnet_jax import main, prepare, presets, train
from alexnet_jax.config import DataConfig
from alexnet_jax.data import dataset_fit, decoding
from alexnet_jax.data.source import open_source
from alexnet_jax.errors import UserError
from alexnet_jax.preparation import cifar_binary, idx_files, tiny_imagenet_zip
from alexnet_jax.preparation.source_images import Form

BATCH = 30  # records of a batch of CIFAR-10, which has 10,000
CLASSES, EACH, VALIDATION = 6, 4, 10  # of Tiny ImageNet: 200, 500, 10,000
COUNTS = {"train": 40, "test": 9}  # of MNIST: 60,000, 10,000
NAMES = [f"thing{n}" for n in range(10)]
WNIDS = [f"n0{1000000 + 7 * n}" for n in range(CLASSES)]


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    monkeypatch.setattr(cifar_binary, "_RECORDS", BATCH)
    monkeypatch.setattr(tiny_imagenet_zip, "_CLASSES", CLASSES)
    monkeypatch.setattr(tiny_imagenet_zip, "_TRAIN_IMAGES", EACH)
    monkeypatch.setattr(tiny_imagenet_zip, "_VALIDATION_IMAGES", VALIDATION)
    monkeypatch.setattr(idx_files, "_COUNTS", COUNTS)


def run(source, data_dir, **options):
    options = {"num_workers": 2} | options
    source = None if source is None else str(source)
    return prepare.run(
        prepare.Options(source=source, data_dir=str(data_dir), **options)
    )


# --- archives in the official layout --------------------------------------------------


def cifar_images(split):
    start, count = {"train": (0, 5 * BATCH), "test": (1000, BATCH)}[split]
    return [(n % 10, picture(start + n, 32, 32)) for n in range(count)]


def cifar_files():
    records = [
        bytes([label]) + image.transpose(2, 0, 1).tobytes()
        for split in ("train", "test")
        for label, image in cifar_images(split)
    ]
    names = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]
    files = {
        f"cifar-10-batches-bin/{name}.bin": b"".join(records[n * BATCH :][:BATCH])
        for n, name in enumerate(names)
    }
    meta = "\n".join([*NAMES, "", ""]).encode()
    return {"cifar-10-batches-bin/batches.meta.txt": meta} | files


def write_cifar(folder, files=None, name="cifar-10-binary.tar.gz"):
    files = cifar_files() if files is None else files
    archive(folder / "tar", files.items() if isinstance(files, dict) else files)
    path = folder / name
    path.write_bytes(gzip.compress((folder / "tar").read_bytes(), 1, mtime=0))
    (folder / "tar").unlink()
    return path


def tiny_images():
    """(file, class, JPEG) of each split; every fifth image is grey."""
    pictures = (
        encoded(picture(n, 64, 64), mode="RGB" if n % 5 else "L")
        for n in itertools.count()
    )
    train = [
        (f"{wnid}_{n}.JPEG", wnid, next(pictures))
        for wnid in WNIDS
        for n in range(EACH)
    ]
    validation = [
        (f"val_{n}.JPEG", WNIDS[n * 5 % CLASSES], next(pictures))
        for n in range(VALIDATION)
    ]
    return {"train": train, "validation": validation}


def tiny_files():
    images = tiny_images()
    root = "tiny-imagenet-200"
    lines = [
        f"{file}\t{wnid}\t0\t32\t44\t62\n" for file, wnid, _ in images["validation"]
    ]
    files = {
        f"{root}/": b"",
        f"{root}/wnids.txt": "".join(f"{wnid}\n" for wnid in WNIDS[::-1]).encode(),
        f"{root}/words.txt": b"n00001740\tentity\n",
        f"{root}/test/images/test_0.JPEG": images["train"][0][2],
        f"{root}/val/val_annotations.txt": "".join(lines).encode(),
    }
    for file, wnid, jpeg in images["train"]:
        files[f"{root}/train/{wnid}/images/{file}"] = jpeg
        files[f"{root}/train/{wnid}/{wnid}_boxes.txt"] = b"a\t0\t0\t1\t1\n"
    for file, _, jpeg in images["validation"]:
        files[f"{root}/val/images/{file}"] = jpeg
    return files


def write_tiny(folder, files=None):
    path = folder / "tiny-imagenet-200.zip"
    files = tiny_files() if files is None else files
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items() if isinstance(files, dict) else files:
            target.writestr(name, content)
    return path


def mnist_images(split):
    start = {"train": 0, "test": 500}[split]
    return [
        (n % 10, picture(start + n, 28, 28)[:, :, 0].copy())
        for n in range(COUNTS[split])
    ]


def mnist_files():
    files = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        labels, images = zip(*mnist_images(split), strict=True)
        header = struct.pack(">4I", 0x803, len(images), 28, 28)
        files[f"{prefix}-images-idx3-ubyte"] = header + np.stack(images).tobytes()
        header = struct.pack(">2I", 0x801, len(labels))
        files[f"{prefix}-labels-idx1-ubyte"] = header + bytes(labels)
    return files


def write_mnist(folder, files=None):
    for name, content in (mnist_files() if files is None else files).items():
        packed = name.startswith("train")
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return folder


# --- what is prepared -----------------------------------------------------------------


def read_all(data_dir, name, split, size, stored="records"):
    settings = DataConfig(
        name=name, data_dir=str(data_dir), image_size=size, stored=stored
    )
    source = open_source(settings, split)
    image = np.zeros((source.num_examples, size, size, 3), np.uint8)
    label = np.zeros(source.num_examples, np.int32)
    source.read(np.arange(source.num_examples), image, label)
    keys = [source.key(index) for index in range(source.num_examples)]
    return source, dict(zip(keys, zip(label, image, strict=True), strict=True))


@pytest.mark.parametrize("as_folder", [False, True])
def test_cifar(tmp_path, capsys, as_folder):
    path = write_cifar(tmp_path)
    options = {"raw": True, "check": True}
    assert run(tmp_path if as_folder else path, tmp_path / "out", **options) == 0
    assert "no faults" in capsys.readouterr().out
    for split in ("train", "test"):
        for stored in ("records", "raw"):
            source, found = read_all(tmp_path / "out", "cifar10", split, 32, stored)
            assert source.class_names == NAMES
            images = cifar_images(split)
            assert len(found) == len(images)
            for number, (label, pixels) in enumerate(images):
                assert found[f"{split}_{number:05d}"][0] == label
                np.testing.assert_array_equal(found[f"{split}_{number:05d}"][1], pixels)


def test_tiny_imagenet(tmp_path, capsys):
    assert run(write_tiny(tmp_path), tmp_path / "out", raw=True, check=True) == 0
    said = capsys.readouterr().out
    assert "no faults" in said and "test images have no labels and are left out" in said
    for split, images in tiny_images().items():
        source, found = read_all(tmp_path / "out", "tiny_imagenet", split, 64)
        assert source.class_names == WNIDS and len(found) == len(images)
        records = {record["file_name"].decode(): record for record in source.records}
        for file, wnid, jpeg in images:
            assert records[file]["image"] == jpeg  # to the byte
            assert WNIDS[found[file][0]] == wnid
            np.testing.assert_array_equal(found[file][1], decoding.decode(jpeg))
    assert list(found) == [f"val_{n}.JPEG" for n in range(VALIDATION)]


def test_mnist(tmp_path, capsys):
    assert run(write_mnist(tmp_path), tmp_path / "out", raw=True, check=True) == 0
    assert "no faults" in capsys.readouterr().out
    for split in COUNTS:
        _, found = read_all(tmp_path / "out", "mnist", split, 28)
        assert len(found) == COUNTS[split]
        for number, (label, pixels) in enumerate(mnist_images(split)):
            stored_label, stored = found[f"{split}_{number:05d}"]
            assert stored_label == label
            np.testing.assert_array_equal(stored, np.stack([pixels] * 3, axis=2))


def test_plain_tfds_reads_them(tmp_path):
    run(write_cifar(tmp_path), tmp_path)
    run(write_tiny(tmp_path), tmp_path)
    (tmp_path / "idx").mkdir()
    run(write_mnist(tmp_path / "idx"), tmp_path)
    shapes = {
        "cifar10": (32, 32, 3),
        "tiny_imagenet": (64, 64, 3),
        "mnist": (28, 28, 1),
    }
    for name, shape in shapes.items():
        builder = tfds.builder_from_directory(tmp_path / name / "1.0.0")
        for example in builder.as_data_source(split="train"):
            assert example["image"].shape == shape


def test_an_image_of_another_size_is_left_out(tmp_path, capsys):
    files = tiny_files()
    name = f"tiny-imagenet-200/train/{WNIDS[1]}/images/{WNIDS[1]}_2.JPEG"
    files[name] = encoded(picture(0, 64, 60))
    run(write_tiny(tmp_path, files), tmp_path)
    line = f"left out of train: {WNIDS[1]}_2.JPEG: 60 x 64 pixels, not 64 x 64"
    assert line in capsys.readouterr().out


@pytest.mark.parametrize("form", [Form(image_size=64), Form(quality=50)])
def test_a_form_is_refused(tmp_path, form):
    with pytest.raises(UserError, match="cifar10 are stored as they are: omit --image"):
        run(write_cifar(tmp_path), tmp_path / "out", form=form)


# --- training -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "preset, write", [("cifar10", write_cifar), ("tiny_imagenet", write_tiny)]
)
def test_presets_train_on_them(tmp_path, preset, write):
    import dataclasses

    run(write(tmp_path), tmp_path)
    base = presets.PRESETS[preset]
    config = dataclasses.replace(
        base,
        batch_size=8,
        num_epochs=0.1,
        data=dataclasses.replace(base.data, data_dir=str(tmp_path)),
    )
    outcome = train.train_and_evaluate(config, tmp_path / "run")
    assert outcome.step > 0 and np.isfinite(outcome.evaluation["loss"])


# --- kills ----------------------------------------------------------------------------

SLOWLY = f"""
import sys
from alexnet_jax import prepare
from alexnet_jax.preparation import cifar_binary, write_dataset
cifar_binary._RECORDS = {BATCH * 20}
write_dataset._SHARD, write_dataset._CHUNK = 100, 4
sys.exit(prepare.main())
"""


def digest(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_bytes_after_kills(tmp_path):
    files = {
        name: content * 20 if name.endswith(".bin") else content
        for name, content in cifar_files().items()
    }
    path = write_cifar(tmp_path, files)

    def command(data_dir):
        options = ["--source", path, "--data-dir", data_dir, "--raw"]
        return [sys.executable, "-c", SLOWLY, *map(str, options)]

    whole = subprocess.run(command(tmp_path / "whole"), capture_output=True)
    assert whole.returncode == 0, whole.stderr
    chance, interrupted = random.Random(0), 0
    for _ in range(2):
        process = subprocess.Popen(
            command(tmp_path / "parts"), stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        while "images of" not in process.stdout.readline():
            pass
        time.sleep(chance.uniform(0.1, 0.4))
        process.kill()
        interrupted += process.wait() != 0
        process.stdout.close()
    done = subprocess.run(command(tmp_path / "parts"), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert interrupted and digest(tmp_path / "parts") == digest(tmp_path / "whole")


# --- hostile archives -----------------------------------------------------------------

CIFAR_FOLDER, TINY_FOLDER = "cifar-10-batches-bin", "tiny-imagenet-200"
ONE, META = f"{CIFAR_FOLDER}/data_batch_3.bin", f"{CIFAR_FOLDER}/batches.meta.txt"
JPEG = f"{TINY_FOLDER}/train/{WNIDS[0]}/images/{WNIDS[0]}_0.JPEG"
LABELS = f"{TINY_FOLDER}/val/val_annotations.txt"


def without(files, name):
    return {key: content for key, content in files.items() if key != name}


def changed(files, name, change):
    return files | {name: change(files[name])}


CIFAR_CASES = {
    "short": (lambda f: changed(f, ONE, lambda c: c[:-1]), "batch_3.bin has .* bytes"),
    "long": (lambda f: changed(f, ONE, lambda c: c + c), "batch_3.bin has .* bytes"),
    "label": (lambda f: changed(f, ONE, lambda c: b"\x0a" + c[1:]), "has label 10"),
    "missing": (lambda f: without(f, ONE), "data_batch_3.bin is missing"),
    "no names": (lambda f: without(f, META), "batches.meta.txt is missing"),
    "names": (lambda f: f | {META: b"cat\n" * 10}, "does not have 10 names"),
    "not UTF-8": (lambda f: f | {META: b"\xff"}, "can't decode"),
    "twice": (lambda f: [*f.items(), (ONE, f[ONE])], "batch_3.bin' is there more than"),
    "outside": (lambda f: f | {"../x": b""}, "'../x' lies outside"),
    "absolute": (lambda f: f | {"/x": b""}, "'/x' lies outside"),
    "empty": (lambda f: {}, "is missing"),
    "python": (lambda f: {"cifar-10-batches-py/data_batch_1": b"x"}, "is missing"),
}


@pytest.mark.parametrize("case", CIFAR_CASES)
def test_hostile_cifar(tmp_path, case):
    change, message = CIFAR_CASES[case]
    path = write_cifar(tmp_path, change(cifar_files()))
    refused(path, message)


def refused(path, message, source=None):
    """One error that names file, reason and remedy; nothing has been written."""
    out = path.parent / "out"
    pattern = (
        rf"{re.escape(str(path))} is not .*{message}.*: download .* again from http"
    )
    with pytest.raises(UserError, match=pattern):
        run(source or path, out)
    assert not out.exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_in_cifar(tmp_path, kind):
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(ONE)
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    refused(path, "is a link or a device")


@pytest.mark.parametrize("size", [-512, 2**40])
def test_lengths_that_a_tar_only_claims(tmp_path, size):
    member = tarfile.TarInfo(ONE)
    member.size = size
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(2048)))
    refused(path, "")


def test_a_gzip_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar_binary, "_LIMIT", 10**6)
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(bytes(10**7)))
    refused(path, "more than 1,000,000 bytes uncompressed")


@pytest.mark.parametrize("content", [b"", b"text" * 999, b"\x1f\x8b\x08" + bytes(99)])
@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "tiny-imagenet-200.zip"])
def test_what_is_no_archive(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, "")


@pytest.mark.parametrize("write", [write_cifar, write_tiny])
@pytest.mark.parametrize("part", [0.1, 0.9])
def test_archives_that_are_cut_off(tmp_path, write, part):
    path = write(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    refused(path, "")


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


TINY_CASES = {
    "missing image": (lambda f: without(f, JPEG), "has 3 training images, not 4"),
    "one too many": (
        lambda f: f | {JPEG.replace("_0.", "_77."): b""},
        "has 5 training images, not 4",
    ),
    "unknown class": (
        lambda f: f | {JPEG.replace(WNIDS[0], "n99999999"): b""},
        "n99999999 has 1 training images, not 0",
    ),
    "missing classes": (
        lambda f: without(f, f"{TINY_FOLDER}/wnids.txt"),
        "wnids.txt is missing",
    ),
    "other classes": (
        lambda f: f | {f"{TINY_FOLDER}/wnids.txt": b"cat\n"},
        "does not have 6 WordNet ids",
    ),
    "missing labels": (lambda f: without(f, LABELS), "annotations.txt is missing"),
    "fewer labels": (
        lambda f: changed(f, LABELS, lambda c: c[: c.rindex(b"val_")]),
        "has 9 of 10 lines",
    ),
    "one label twice": (
        lambda f: changed(f, LABELS, lambda c: c.replace(b"val_1.", b"val_2.")),
        "val_2.JPEG' is there more than once",
    ),
    "label of nothing": (
        lambda f: changed(f, LABELS, lambda c: c.replace(b"val_1.", b"val_11.")),
        "val_11.JPEG is missing",
    ),
    "unknown label": (
        lambda f: changed(f, LABELS, lambda c: c.replace(WNIDS[0].encode(), b"n1")),
        "has class 'n1'",
    ),
    "labels without end": (
        lambda f: f | {LABELS: b"\n" * (2**22 + 1)},
        "4,194,305 bytes, more than 4,194,304",
    ),
    "not UTF-8": (lambda f: f | {LABELS: b"\xff"}, "can't decode"),
    "outside": (lambda f: f | {"../x": b""}, "'../x' lies outside"),
    "absolute": (lambda f: f | {"/x": b""}, "'/x' lies outside"),
    "link": (lambda f: [*f.items(), (link("x"), b"/etc")], "'x' is a link"),
    "bomb": (lambda f: f | {JPEG: bytes(2**23)}, "8,388,608 bytes, more than"),
    "empty": (lambda f: {}, "wnids.txt is missing"),
}


@pytest.mark.parametrize("case", TINY_CASES)
def test_hostile_tiny_imagenet(tmp_path, case):
    change, message = TINY_CASES[case]
    refused(write_tiny(tmp_path, change(tiny_files())), message)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice_in_tiny_imagenet(tmp_path):
    files = [*tiny_files().items(), (JPEG, b"")]
    refused(write_tiny(tmp_path, files), "_0.JPEG' is there more than once")


def test_an_archive_that_is_too_large(tmp_path):
    path = write_tiny(tmp_path)
    with path.open("r+b") as file:
        file.truncate(2**29 + 1)  # sparse
    refused(path, "more than 536,870,912 bytes")


def test_a_damaged_member_of_tiny_imagenet(tmp_path, capsys):
    """Listed and left out, as in other sources."""
    path = write_tiny(tmp_path)
    with zipfile.ZipFile(path) as stored:
        place = stored.getinfo(JPEG).header_offset + 30 + len(JPEG) + 200
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    run(path, tmp_path)
    assert (
        f"left out of train: number 0: {WNIDS[0]}_0.JPEG: " in capsys.readouterr().out
    )


IMAGES, DIGITS = "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
MNIST_CASES = {
    "short": (IMAGES, lambda c: c[:-1], "fewer than"),
    "long": (IMAGES, lambda c: c + b"x", "more than"),
    "no header": (IMAGES, lambda c: b"", "header is not that of 40 x 28 x 28 bytes"),
    "labels": (IMAGES, lambda c: b"\0\0\x08\x01" + c[4:], "header is not that of"),
    "others": (IMAGES, lambda c: c[:8] + b"\x7f" + c[9:], "header is not that of"),
    "huge": (IMAGES, lambda c: c[:4] + b"\xff" * 12 + c[16:], "header is not that of"),
    "label": (DIGITS, lambda c: c[:-1] + b"\x0a", "label 10, not 0 to 9"),
    "short labels": (DIGITS, lambda c: c[:-1], "fewer than"),
    "bomb": (IMAGES, lambda c: c + bytes(10**7), "more than"),
}


@pytest.mark.parametrize("case", MNIST_CASES)
def test_hostile_mnist(tmp_path, case):
    name, change, message = MNIST_CASES[case]
    write_mnist(tmp_path, changed(mnist_files(), name, change))
    path = tmp_path / (f"{name}.gz" if name == IMAGES else name)
    refused(path, message, source=tmp_path)


def test_mnist_with_damaged_gzip(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / f"{IMAGES}.gz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(path, "", source=tmp_path)
    path.write_bytes(content[:20] + b"\xff" * 20 + content[40:])
    refused(path, "", source=tmp_path)


def test_mnist_that_a_browser_decompressed(tmp_path):
    """The name still ends with .gz."""
    for name, content in mnist_files().items():
        (tmp_path / f"{name}.gz").write_bytes(content)
    assert run(tmp_path / f"{IMAGES}.gz", tmp_path / "out") == 0


def test_files_of_mnist_that_are_missing_or_there_twice(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / f"{DIGITS}.gz").write_bytes(b"")
    with pytest.raises(UserError, match=f"{DIGITS} twice, once as .gz: move one away"):
        run(tmp_path, tmp_path / "out")
    for path in tmp_path.glob(f"{DIGITS}*"):
        path.unlink()
    with pytest.raises(UserError, match=f"neither {DIGITS} nor .*put the four files"):
        run(tmp_path, tmp_path / "out")


# --- recognition ----------------------------------------------------------------------


def test_a_folder_with_several_archives(tmp_path):
    write_cifar(tmp_path)
    path = write_tiny(tmp_path)
    with pytest.raises(UserError, match="of CIFAR-10 and Tiny ImageNet: move all but"):
        run(tmp_path, tmp_path / "out")
    assert run(path, tmp_path / "out") == 0


def test_a_renamed_archive(tmp_path):
    path = write_cifar(tmp_path, name="cifar-10-binary (1).tar.gz")
    assert run(path, tmp_path / "out") == 0


def test_a_file_that_is_none_of_them(tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(UserError, match="not known: the archives are ILSVRC2012_img_t"):
        run(tmp_path / "notes.txt", tmp_path / "out")


def test_the_devkit_is_not_for_them(tmp_path):
    path = write_cifar(tmp_path)
    with pytest.raises(UserError, match="only for ImageNet's archives"):
        run(path, tmp_path / "out", devkit=path)


# --- the next command -----------------------------------------------------------------


def next_options(said):
    (line,) = [line for line in said.splitlines() if line.startswith("Next: ")]
    words = shlex.split(line.removeprefix("Next: "))
    assert words[:3] == ["python", "-m", "alexnet_jax.main"]
    return words[3:]


@pytest.mark.parametrize(
    "write, name, options, batch_size",  # the preset's batch is larger than these sets
    [
        (write_cifar, "cifar10", ["--preset", "cifar10"], []),
        (write_mnist, "mnist", ["--preset", "digits", "--data.name", "mnist"], ["32"]),
        (write_tiny, "tiny_imagenet", ["--preset", "tiny_imagenet"], ["16"]),
    ],
)
def test_the_next_command_fits(tmp_path, capsys, write, name, options, batch_size):
    write(tmp_path)
    run(tmp_path, tmp_path / "a b")
    typed = next_options(capsys.readouterr().out)
    options = [*options, "--data.data-dir", str(tmp_path / "a b")]
    options += [part for size in batch_size for part in ("--batch-size", size)]
    if name == "tiny_imagenet":  # few classes here
        options += ["--model.fc8.features", str(CLASSES)]
    assert typed == [*options, "--workdir", f"runs/{name}"]
    dataset_fit.check(main.parse(typed).config)


def test_the_next_command_of_a_training_set_alone(tmp_path, capsys):
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        (tmp_path / "pets" / label / "a.jpg").write_bytes(encoded(picture(0)))
    run(tmp_path / "pets", tmp_path, form=Form(image_size=32))
    config = main.parse(next_options(capsys.readouterr().out)).config
    assert config.model.num_classes == 2
    assert (config.data.train_split, config.data.eval_split) == (
        "train[:90%]",
        "train[90%:]",
    )
    dataset_fit.check(config)


def test_all_that_does_not_fit_is_one_message(tmp_path):
    run(write_tiny(tmp_path), tmp_path)
    typed = ["--preset", "cifar10", "--workdir", "unused", "--data.name"]
    typed += ["tiny_imagenet", "--data.data-dir", str(tmp_path)]
    typed += ["--data.stored", "raw", "--model.fc8.features", "4"]
    with pytest.raises(UserError) as raised:
        dataset_fit.check(main.parse(typed).config)
    text, _, options = str(raised.value).partition(". Options that fit: ")
    for problem in ("no split 'test'", "has 6 classes and the network 4", "64 x 64"):
        assert problem in text
    dataset_fit.check(main.parse([*typed, *shlex.split(options)]).config)
