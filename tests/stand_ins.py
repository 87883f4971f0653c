"""Small datasets, archives and networks that tests make."""

import contextlib
import io
import tarfile

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from alexnet_jax import presets
from alexnet_jax.data import ilsvrc2012
from alexnet_jax.weights import parameter_shapes
from alexnet_jax.weights.network import Network


def encoded(pixels, form="JPEG", mode=None, **options):
    image = Image.fromarray(pixels)
    content = io.BytesIO()
    (image.convert(mode) if mode else image).save(content, format=form, **options)
    return content.getvalue()


def picture(seed, height=70, width=90):
    """Smooth colours, so that JPEG stores them well."""
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.array(
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    )


def write_dataset(folder, class_name, features, examples, split="train"):
    """A small tfds dataset of our own, of any features, as ArrayRecord."""

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        name = class_name

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {split: enumerate(examples)}

        def _generate_examples(self):
            raise NotImplementedError

    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        builder = Builder(data_dir=str(folder), file_format="array_record")
        builder.download_and_prepare()


def archive(path, files):
    """A tar of (name, bytes)."""
    with tarfile.open(path, "w") as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def train_images(num_images, num_classes):
    """(synset, file name, bytes), spread over the first classes."""
    names = ilsvrc2012.class_names()
    for number in range(num_images):
        synset = names[number % num_classes]
        yield synset, f"{synset}_{number}.JPEG", encoded(picture(number))


def write_tars(folder, num_train=24, num_validation=10, num_classes=6):
    """The two official archives, with few images."""
    by_synset = {}
    for synset, name, content in train_images(num_train, num_classes):
        by_synset.setdefault(synset, []).append((name, content))
    inner = []
    for synset, files in by_synset.items():
        path = folder / f"{synset}.tar"
        archive(path, files)
        inner.append((path.name, path.read_bytes()))
        path.unlink()
    archive(folder / "ILSVRC2012_img_train.tar", inner)
    validation = [
        (f"ILSVRC2012_val_{number:08d}.JPEG", encoded(picture(1000 + number)))
        for number in range(1, num_validation + 1)
    ]
    archive(folder / "ILSVRC2012_img_val.tar", validation)


ESCAPING_MEMBERS = (b"../../x.JPEG\0", b"/etc/passwd\0", b"a/../../b\0")
"""Names in tar headers that lead out of the archive."""


def repair_checksum(tar, start):
    """Makes a reader believe the altered header at byte `start` of a bytearray."""
    header = bytearray(tar[start : start + 512])
    header[148:156] = b" " * 8
    tar[start + 148 : start + 156] = b"%06o\0 " % sum(header)


def paths_in(tree, path=()):
    """The paths to all values in a JSON tree, as tuples of names."""
    paths = [path] if path else []
    if isinstance(tree, dict):
        for name, value in tree.items():
            paths += paths_in(value, (*path, name))
    return paths


def digits_network():
    """A network for the digits whose parameters are all 1."""
    shapes = parameter_shapes.shapes(presets.DIGITS)
    return Network(
        name="",
        config=presets.DIGITS,
        params={
            layer: {kind: np.ones(shape, np.float32) for kind, shape in kinds.items()}
            for layer, kinds in shapes.items()
        },
        mean_image=np.ones((28, 28, 3), np.float32),
    )
