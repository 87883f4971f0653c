"""What others may hand in: configurations, archives, checkpoints and images, altered at
random. Each property holds for as many examples as one asks for."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from caffe_files import binaryproto, caffemodel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stand_ins import (
    ESCAPING_MEMBERS,
    archive,
    digits_network,
    encoded,
    paths_in,
    picture,
    repair_checksum,
)

from alexnet_jax import config_json, presets
from alexnet_jax.config import Config
from alexnet_jax.data import decoding
from alexnet_jax.errors import UserError
from alexnet_jax.preparation import imagenet_tars
from alexnet_jax.training import checkpoint_reading, workdir
from alexnet_jax.weights import caffemodel as reading
from alexnet_jax.weights import network_file, npz

_WORD = st.text(st.characters(codec="ascii"), max_size=12)
_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        _WORD,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(_WORD, inner, max_size=4)
    ),
    max_leaves=8,
)


def _often(examples: int) -> Any:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def configs(examples: int, folder: Path) -> None:
    """A run directory's config.json with a value, or all of it, replaced is read as a
    configuration that can be trained with, or refused with a message."""
    whole = json.dumps(config_json.to_json(presets.DIGITS))
    places = paths_in(json.loads(whole))

    @_often(examples)
    @given(st.sampled_from(places), _VALUES, st.binary(max_size=40), st.integers(0, 9))
    def check(place: tuple[Any, ...], value: Any, garbage: bytes, kind: int) -> None:
        content = json.loads(whole)
        inner = content
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = value
        text = json.dumps(content if kind else value).encode()
        if kind == 1:
            text = text[: len(text) // 2] + garbage
        (folder / "config.json").write_bytes(text)
        try:
            assert isinstance(workdir.read_config(folder), Config)
        except UserError as error:
            assert "config.json" in str(error) or "--" in str(error)

    check()


_SPANS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=12)),
    min_size=1,
    max_size=6,
)


def _altered(content: bytes, spans: list[tuple[float, bytes]], keep: float) -> bytes:
    """Bytes replaced in some places, and cut off."""
    altered = bytearray(content)
    for place, patch in spans:
        start = int(place * len(altered))
        altered[start : start + len(patch)] = patch[: len(altered) - start]
    return bytes(altered[: max(1, int(keep * len(altered)))])


def archives(examples: int, folder: Path) -> None:
    """An official archive that has been altered gives images, whatever they hold, or is
    refused with a message. Nothing is unpacked anywhere."""
    path = folder / imagenet_tars.VALIDATION_TAR
    files = [(f"ILSVRC2012_val_{n:08d}.JPEG", encoded(picture(n))) for n in (1, 2, 3)]
    archive(path, files)
    whole = path.read_bytes()

    headers = [i for i in range(0, len(whole), 512) if whole[i : i + 6] == b"ILSVRC"]
    patches = st.lists(
        st.tuples(
            st.sampled_from(headers),
            st.integers(0, 511),
            st.one_of(
                st.binary(min_size=1, max_size=12), st.sampled_from(ESCAPING_MEMBERS)
            ),
        ),
        max_size=4,
    )

    @_often(examples)
    @given(patches, st.floats(0.01, 1), st.booleans())
    def check(changes: list[tuple[int, int, bytes]], keep: float, cut: bool) -> None:
        altered = bytearray(whole)
        for start, place, patch in changes:
            place = 0 if patch in ESCAPING_MEMBERS else place
            altered[start + place : start + place + len(patch)] = patch
            repair_checksum(altered, start)
        path.write_bytes(altered[: int(keep * len(altered))] if cut else altered)
        try:
            opened = imagenet_tars.open_tars(folder, None)
            split = opened.splits["validation"]
            for index in range(split.num_images):
                split.read(index)
        except UserError as error:
            assert path.name in str(error)
        assert sorted(one.name for one in folder.iterdir()) == [path.name]

    check()


def checkpoints(examples: int, written: Path, abstract: Any) -> None:
    """An altered file of the newest checkpoint is found: the one before is given."""
    names = [p.relative_to(written) for p in sorted(written.rglob("*")) if p.is_file()]
    newest = max(written.iterdir(), key=lambda p: int(p.name))
    names = [n for n in names if n.parts[0] == newest.name]

    @_often(examples)
    @given(st.sampled_from(names), _SPANS, st.floats(0, 1))
    def check(name: Path, spans: list[tuple[float, bytes]], keep: float) -> None:
        before = (written / name).read_bytes()
        (written / name).write_bytes(_altered(before, spans, keep))
        same = (written / name).read_bytes() == before
        step, _ = checkpoint_reading.read_state(written, abstract, "newest")
        (written / name).write_bytes(before)
        assert (step == int(newest.name)) == same

    check()


# What a source of examples takes for a damaged one (sources.py).
_REFUSALS = (ValueError, RuntimeError, IndexError, OSError)


def pictures(examples: int) -> None:
    """An altered image gives pixels or a refusal that a source understands."""
    pixels = picture(0, 40, 50)
    names = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
    forms = [encoded(pixels, name) for name in names if name in decoding.formats()]
    forms.append(encoded(pixels, "JPEG", "CMYK"))

    @_often(examples)
    @given(st.sampled_from(forms), _SPANS, st.floats(0, 1), st.booleans())
    def check(
        form: bytes, spans: list[tuple[float, bytes]], keep: float, early: bool
    ) -> None:
        if early:  # headers are the more delicate part
            spans = [(place * 60 / len(form), patch) for place, patch in spans]
        out = np.empty((32, 32, 3), np.uint8)
        try:
            decoding.read_into(_altered(form, spans, max(keep, 0.2)), out)
        except _REFUSALS:
            pass

    check()


def weight_files(examples: int, folder: Path) -> None:
    """An altered file of weights is read, whatever numbers it holds, or refused with a
    message that names it."""
    small = {layer: (np.ones((4, 2)), np.ones(4)) for layer in ("conv1", "fc6", "fc8")}
    arrays = {f"{layer}_w": pair[0] for layer, pair in small.items()}
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    whole = folder / f"digits{network_file.SUFFIX}"
    network_file.write(whole, digits_network())
    forms = [
        ("old.caffemodel", caffemodel(small, old=True), reading.read_net),
        ("new.caffemodel", caffemodel(small), reading.read_net),
        ("mean.binaryproto", binaryproto(np.ones((3, 4, 4))), reading.read_mean),
        ("net.npz", content.getvalue(), npz.read),
        ("net.npy", content.getvalue()[:200], npz.read),
        (whole.name, whole.read_bytes(), network_file.read),
    ]

    @_often(examples)
    @given(st.sampled_from(forms), _SPANS, st.floats(0, 1), st.booleans())
    def check(
        form: Any, spans: list[tuple[float, bytes]], keep: float, early: bool
    ) -> None:
        name, content, read = form
        if early:  # headers are the more delicate part
            spans = [(place * 300 / len(content), patch) for place, patch in spans]
        (folder / name).write_bytes(_altered(content, spans, max(keep, 0.2)))
        try:
            read(folder / name)
        except UserError as error:
            assert name in str(error) or "--" in str(error)

    check()
