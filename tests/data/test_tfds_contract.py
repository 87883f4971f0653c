"""What we use of tfds beyond `tfds.load`, one test per thing.

pyproject.toml admits only releases of tfds with which this file passes. Where it fails
after an update, adapt the file that the message names, or lower the bound.
"""

import contextlib
import functools
import io
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import constants, example_serializer, read_only_builder

from alexnet_jax.data import digits

NAME, VERSION = "pictures", "1.2.3"
LENGTHS = [2, 1]
DATA, PREPARATION = "src/alexnet_jax/data/", "src/alexnet_jax/preparation/"
RECORDS = f"{DATA}tfds_records.py"


def relies_on(what, *users):
    """Puts the promise and the files that need it into the message of a failure."""

    def decorate(test):
        @functools.wraps(test)
        def told(*args, **kwargs):
            try:
                return test(*args, **kwargs)
            except Exception as error:
                pytest.fail(
                    f"tfds {tfds.__version__} no longer keeps this: {what}.\n"
                    f"{', '.join(users)} need it: adapt them, or set a lower bound for "
                    f"tensorflow-datasets in pyproject.toml.\n"
                    f"{type(error).__name__}: {error}"
                )

        return told

    return decorate


def features():
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(8, 8, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            "file_name": tfds.features.Text(),
        }
    )


@functools.cache
def jpeg(number):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(file, format="JPEG")
    return file.getvalue()


def example(number):
    return {"image": jpeg(number), "label": number % 2, "file_name": f"{number}.jpg"}


def serialized(number):
    described = features()
    serializer = example_serializer.ExampleSerializer(described.get_serialized_info())
    message = serializer.get_tf_example(described.encode_example(example(number)))
    return message.SerializeToString(deterministic=True)


def template(folder):
    return tfds.core.ShardedFileTemplate(
        data_dir=folder,
        dataset_name=NAME,
        split="train",
        filetype_suffix="array_record",
    )


def write(folder):
    """Two shards and the metadata, the way `prepare` writes them."""
    from array_record.python.array_record_module import ArrayRecordWriter

    folder.mkdir(parents=True)
    numbers = iter(range(sum(LENGTHS)))
    for shard, length in enumerate(LENGTHS):
        path = folder / f"{NAME}-train.array_record-{shard:05d}-of-{len(LENGTHS):05d}"
        writer = ArrayRecordWriter(os.fspath(path), "group_size:1")
        for _ in range(length):
            writer.write(serialized(next(numbers)))
        writer.close()
    split = tfds.core.SplitInfo(
        name="train",
        shard_lengths=LENGTHS,
        num_bytes=100,
        filename_template=template(folder),
    )
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features(),
        split_infos=[split],
        version=VERSION,
        check_data=False,
        description="Pictures.",
        supervised_keys=("image", "label"),
    )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    # A failure is reported by the test of writing, and by those that read.
    with contextlib.suppress(Exception):
        write(folder / NAME / VERSION)
    return folder


@pytest.fixture
def builder(data_dir):
    return read_only_builder.builder_from_directory(data_dir / NAME / VERSION)


@relies_on(
    "SplitInfo and ShardedFileTemplate describe shards, and folder_dataset."
    "write_metadata writes dataset_info.json and features.json without TensorFlow",
    RECORDS,
)
def test_metadata_is_written(tmp_path):
    write(tmp_path / NAME / VERSION)
    written = {path.name for path in (tmp_path / NAME / VERSION).glob("*.json")}
    assert written == {"dataset_info.json", "features.json"}


@relies_on(
    "shards are called name-split.array_record-00000-of-00002",
    f"{PREPARATION}write_dataset.py",
)
def test_names_of_shards(tmp_path):
    paths = template(tmp_path).sharded_filepaths(2)
    assert [Path(path).name for path in paths] == [
        f"{NAME}-train.array_record-0000{shard}-of-00002" for shard in range(2)
    ]


@relies_on(
    "builder_from_directory reads that metadata, and info has full_name, name, "
    "features, splits, file_format; the builder has data_path",
    RECORDS,
    f"{DATA}source.py",
    f"{PREPARATION}verification.py",
)
def test_description(builder, data_dir):
    info = builder.info
    assert (info.full_name, info.name) == (f"{NAME}/{VERSION}", NAME)
    assert list(info.splits) == ["train"]
    assert info.splits["train"].num_examples == sum(LENGTHS)
    assert list(info.splits["train"].shard_lengths) == LENGTHS
    assert info.splits["train"].num_bytes == 100
    assert info.file_format.value == "array_record"
    assert set(info.features) == {"image", "label", "file_name"}
    assert info.features["image"].shape == (8, 8, 3)
    assert info.features["label"].names == ["cat", "dog"]
    assert Path(builder.data_path) == data_dir / NAME / VERSION


@relies_on(
    "splits[...] lists its files (filepaths), and file_instructions of a slice gives "
    "filename, skip, take and examples_in_shard",
    f"{DATA}raw_pixels.py",
    f"{PREPARATION}write_raw.py",
    f"{PREPARATION}tfds_source.py",
)
def test_files_of_a_split(builder):
    split = builder.info.splits["train"]
    names = [Path(os.fspath(path)).name for path in split.filepaths]
    assert names == [f"{NAME}-train.array_record-0000{n}-of-00002" for n in range(2)]
    parts = builder.info.splits["train[1:]"].file_instructions
    found = [(Path(part.filename).name, part.skip, part.take) for part in parts]
    assert found == [(names[0], 1, 1), (names[1], 0, 1)]
    assert [part.examples_in_shard for part in parts] == LENGTHS


@relies_on(
    "builder_from_files finds name and name:version in a data directory, and raises a "
    "ValueError where there is nothing",
    RECORDS,
)
def test_finding(data_dir):
    for name in (NAME, f"{NAME}:{VERSION}"):
        found = read_only_builder.builder_from_files(name, data_dir=str(data_dir))
        assert found.info.full_name == f"{NAME}/{VERSION}"
    for name in ("nothing", "no name at all"):
        with pytest.raises(ValueError):
            read_only_builder.builder_from_files(name, data_dir=str(data_dir))


@relies_on(
    "as_data_source reads single records, and SkipDecoding leaves images encoded",
    RECORDS,
)
def test_records(builder):
    records = builder.as_data_source(
        split="train", decoders={"image": tfds.decode.SkipDecoding()}
    )
    assert len(records) == sum(LENGTHS)
    for number in (2, 0):
        record = records[number]
        assert record["image"] == jpeg(number)
        assert record["label"] == number % 2
        assert record["file_name"] == f"{number}.jpg".encode()
    assert len(builder.as_data_source(split="train[:2]")) == 2


@relies_on("an unknown split is a ValueError or a KeyError", RECORDS)
def test_unknown_split(builder):
    with pytest.raises((ValueError, KeyError)):
        builder.as_data_source(split="validation")


@relies_on("as_data_source of TFRecord is a NotImplementedError", RECORDS)
def test_no_random_access_in_tfrecord(tmp_path):
    folder = tmp_path / NAME / VERSION
    write(folder)
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    builder = read_only_builder.builder_from_directory(folder)
    assert builder.info.file_format.value == "tfrecord"
    with pytest.raises(NotImplementedError):
        builder.as_data_source(split="train")


@relies_on(
    "ExampleSerializer makes a message of an encoded example, and "
    "deserialize_example_np reads it back without TensorFlow",
    RECORDS,
    f"{PREPARATION}tfds_source.py",
)
def test_serialized_and_back():
    assert serialized(1) == serialized(1)
    decoders = {"image": tfds.decode.SkipDecoding()}
    record = features().deserialize_example_np(serialized(1), decoders=decoders)
    assert np.asarray(record["image"]).item() == jpeg(1)
    assert record["label"] == 1


@relies_on("constants.DATA_DIR is the default data directory", RECORDS)
def test_default_directory():
    assert isinstance(constants.DATA_DIR, str)


@relies_on(
    "the class names and the validation labels of ILSVRC come with the package",
    f"{DATA}ilsvrc2012.py",
)
@pytest.mark.parametrize(
    "file, lines", [("labels.txt", 1000), ("validation_labels.txt", 50_000)]
)
def test_files_of_the_package(file, lines):
    text = tfds.core.tfds_path(f"datasets/imagenet2012/{file}").read_text()
    assert len(text.split()) == lines
    assert text.startswith("n0")


@relies_on(
    "a GeneratorBasedBuilder writes ArrayRecord without TensorFlow, and data_path "
    "exists only once it has",
    f"{DATA}digits.py",
)
def test_builder_of_our_own(tmp_path):
    builder = digits.Digits(data_dir=str(tmp_path), file_format="array_record")
    assert not builder.data_path.exists()
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    assert builder.data_path.exists()
    assert len(builder.as_data_source(split="test")) == 360
