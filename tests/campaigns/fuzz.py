"""What others hand in, altered at random: configurations, archives, images, weights.

Each is accepted, or refused with one message. Numbers of tries are seeds, so that a
failure can be tried again.
"""

import functools
import io
import json
import math
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.campaigns import jobs, tries
from tests.campaigns.jobs import Place
from tests.campaigns.tries import Row, Try

ACCEPTED, REFUSED = "accepted", "refused"
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 .,:%-_[]{}"


def _outcome(work: Callable[[], Any], *named: str) -> str:
    """Accepted, or refused with a UserError that has one of the given words."""
    from alexnet_jax.errors import UserError

    try:
        work()
    except UserError as error:
        assert any(name in str(error) for name in named), error
        return REFUSED
    return ACCEPTED


def altered(content: bytes, chance: random.Random, *, most: int, head: int) -> bytes:
    """Up to `most` patches, a third of them in the first `head` bytes; a fifth is cut
    off too."""
    result = bytearray(content)
    for _ in range(chance.randint(1, most)):
        end = head if chance.random() < 1 / 3 else len(result)
        place = chance.randrange(max(1, min(end, len(result))))
        patch = chance.randbytes(chance.randint(1, 4))[: len(result) - place]
        result[place : place + len(patch)] = patch
    if chance.random() < 0.2:
        del result[max(1, int(chance.uniform(0.2, 1) * len(result))) :]
    return bytes(result)


def _value(chance: random.Random, depth: int = 2) -> Any:
    """Anything that JSON can hold."""
    word = "".join(chance.choices(_LETTERS, k=chance.randrange(12)))
    plain = (
        *(None, True, False, 0, 1, -1, 2, 3, 16, 10**6, 2**70, -(2**70), word),
        *(0.5, -0.5, 1e-300, 1e300, math.nan, math.inf, -math.inf),
    )
    nested = chance.randrange(6) if depth else 2
    if nested == 0:
        return [_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if nested == 1:
        return {word: _value(chance, depth - 1)}
    return chance.choice(plain)


def configs(place: Place, wanted: int) -> Row:
    """The way of training, up to the shapes of its state: an altered config.json in the
    run directory; one that is trained with; options."""
    tries.make_tests_importable()
    from alexnet_jax import main

    text = (place.whole / "config.json").read_text()
    given = ("--workdir", "run", "--data.data-dir", os.fspath(place.data), *jobs.TRAIN)

    def attempt(folder: Path, number: int) -> Try:
        jobs.request_devices()
        chance = random.Random(number)
        os.chdir(folder)  # relative paths among the values lead here
        content = _altered_config(text, chance)
        options = list(given)
        if number % 3 == 0:
            Path("run").mkdir()
            Path("run", "config.json").write_bytes(content)
        elif number % 3 == 1:
            Path("given").mkdir()
            Path("given", "config.json").write_bytes(content)
        else:
            options += _options(text, chance)
        Path("options.json").write_text(json.dumps(options))
        outcome = REFUSED
        try:
            parsed = main.parse(options)
        except SystemExit as error:
            assert error.code == 2, f"exit code {error.code}"
        else:
            outcome = _outcome(lambda: _set_up(parsed.config), "")
        return Try(True, outcome=outcome)

    return tries.count(place, "altered configuration", wanted, attempt, most=wanted)


def _set_up(config: Any) -> None:
    """Of the configuration of the options, or of the one that is given in a file."""
    from alexnet_jax import train_step
    from alexnet_jax.training import setup, workdir

    if Path("given").exists():
        config = workdir.read_config(Path("given"))
    run = setup.set_up(config, Path("run"))
    try:
        train_step.abstract_train_state(run.config, run.mesh)
    finally:
        run.lock.release()


def _near(value: Any, chance: random.Random) -> Any:
    """Another value of the same type, where there is one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return type(value)(
            value * chance.choice((0, 0.5, 1.5, 2)) + chance.choice((0, 1))
        )
    if isinstance(value, list):
        return [_near(item, chance) for item in value]
    return value if isinstance(value, dict) else _value(chance)


def _altered_config(text: str, chance: random.Random) -> bytes:
    """A few values replaced, half of them by near ones; sometimes bytes, or all."""
    from stand_ins import paths_in

    content = json.loads(text)
    for _ in range(chance.choice((1, 1, 1, 2))):
        *above, last = chance.choice(paths_in(content))
        inner = content
        for name in above:
            inner = inner[name]
        is_near = chance.random() < 0.5
        inner[last] = _near(inner[last], chance) if is_near else _value(chance)
    kind = chance.randrange(12)
    encoded = json.dumps(_value(chance) if kind == 0 else content).encode()
    return altered(encoded, chance, most=3, head=50) if kind == 1 else encoded


def _options(text: str, chance: random.Random) -> list[str]:
    from stand_ins import paths_in

    options = []
    for _ in range(chance.randint(1, 2)):
        name = ".".join(chance.choice(paths_in(json.loads(text))))
        value = _value(chance)
        values = value if isinstance(value, list) else [value]
        options += ["--" + name.replace("_", "-"), *map(str, values)]
    return options


class _Picture(NamedTuple):
    """An image file."""

    name: str
    content: bytes
    is_refused: bool = False
    """True if it is of a format that no command reads."""


@functools.cache
def _pictures() -> list[_Picture]:
    """All formats that users have; what Pillow cannot write here is left out."""
    from PIL import Image
    from stand_ins import encoded, picture

    Image.init()  # registers all formats
    pixels = picture(0, 60, 80)
    plain = (
        *("JPEG", "PNG", "GIF", "BMP", "WEBP", "AVIF", "JPEG2000", "TIFF", "PPM"),
        *("ICO", "TGA"),
    )
    modes = (
        *(("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "L")),
        *(("PNG", "1"), ("WEBP", "RGBA"), ("GIF", "P"), ("TIFF", "L"), ("TIFF", "F")),
        *(("TIFF", "CMYK"), ("AVIF", "RGBA"), ("JPEG2000", "RGBA"), ("EPS", None)),
    )
    found = []
    for form, mode in (*((form, None) for form in plain), *modes):
        if form in Image.SAVE:
            refused = form in ("EPS", "ICO", "TGA") or mode == "F"
            name = f"{form}-{mode or 'RGB'}"
            found.append(_Picture(name, encoded(pixels, form, mode), refused))
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = encoded(pixels, "JPEG", exif=exif)
        found.append(_Picture(f"rotated{orientation}", content))
    found.append(_Picture("lzw", encoded(pixels, "TIFF", compression="tiff_lzw")))
    found.append(_Picture("progressive", encoded(pixels, "JPEG", progressive=True)))
    return found


def pictures(place: Place, wanted: int) -> Row:
    """The way of `predict`: a file becomes pixels, or one line that says why not.
    Half of the files, at least, must become pixels."""
    tries.make_tests_importable()

    def attempt(folder: Path, number: int) -> Try:
        chance = random.Random(number)
        chosen = _pictures()[number % len(_pictures())]
        is_whole = number // len(_pictures()) % 2 == 0
        content = chosen.content
        if not is_whole:
            content = altered(content, chance, most=2, head=60)
        suffix = chance.choice((".jpg", ".png", ".tif", ".webp"))  # nobody trusts it
        path = folder / f"{chosen.name}{suffix}"
        path.write_bytes(content)
        image, reason = _read_picture(path)
        wrong = []
        if (
            is_whole
            and (reason is None) == chosen.is_refused
            and chosen.name != "TIFF-F"
        ):
            wrong.append(f"{path.name}: unaltered, {reason or 'accepted'}")
        if is_whole and reason is None and not 30 < image.mean() < 225:
            wrong.append(f"{path.name}: read as nearly black or white")
        if reason is not None and (not reason or "\n" in reason):
            wrong.append(f"{path.name}: not one line: {reason!r}")
        return Try(True, wrong, REFUSED if reason is not None else ACCEPTED)

    row = tries.count(place, "altered image", wanted, attempt, most=wanted)
    if 2 * (row.accepted or 0) < row.tries:
        remark = f"{row.remark} fewer than half became pixels"
        row = row._replace(lost=max(row.lost, 1), remark=remark.strip())
    return row


def _read_picture(path: Path) -> tuple[np.ndarray, str | None]:
    """The pixels, or why the file is skipped."""
    from alexnet_jax import presets
    from alexnet_jax.data import user_images

    source = user_images.open_inputs(
        presets.DIGITS, [path], dataset=None, split=None, data_dir=None
    )
    size = source.image_size
    image, label = np.empty((1, size, size, 3), np.uint8), np.empty(1, np.int32)
    source.read(np.arange(1), image, label)
    return image, source.skipped.get(0)


def archives(place: Place, wanted: int) -> Row:
    """An official archive with altered headers gives images, whatever they hold, or is
    refused. Nothing is unpacked anywhere."""
    tries.make_tests_importable()
    from stand_ins import write_tars

    from alexnet_jax.preparation import imagenet_tars

    tars = place.folder / "tars"
    tars.mkdir()
    write_tars(tars, num_train=6, num_validation=3, num_classes=2)

    def attempt(folder: Path, number: int) -> Try:
        chance = random.Random(number)
        names = (imagenet_tars.TRAIN_TAR, imagenet_tars.VALIDATION_TAR)
        changed = names[number % 2]
        for name in names:
            content = (tars / name).read_bytes()
            if name == changed:
                content = _altered_archive(content, chance)
            (folder / name).write_bytes(content)
        outcome = _outcome(lambda: _read_archives(folder), changed)
        left = sorted(path.name for path in folder.iterdir())
        wrong = [] if left == sorted(names) else [f"files: {left}"]
        return Try(True, wrong, outcome)

    return tries.count(place, "altered archive", wanted, attempt, most=wanted)


def _read_archives(folder: Path) -> None:
    from alexnet_jax.preparation import imagenet_tars

    for split in imagenet_tars.open_tars(folder, None).splits.values():
        for index in range(split.num_images):
            split.read(index)


def _altered_archive(content: bytes, chance: random.Random) -> bytes:
    """Patches in headers, whose checksums are repaired, so that they are believed."""
    from stand_ins import ESCAPING_MEMBERS, repair_checksum

    result = bytearray(content)
    starts = range(0, len(result), 512)
    headers = [i for i in starts if result[i + 257 : i + 262] == b"ustar"]
    for _ in range(chance.randrange(4)):
        start, place = chance.choice(headers), chance.randrange(512)
        patch = chance.randbytes(chance.randint(1, 12))
        if chance.random() < 1 / 3:
            place, patch = 0, chance.choice(ESCAPING_MEMBERS)
        patch = patch[: 512 - place]
        result[start + place : start + place + len(patch)] = patch
        repair_checksum(result, start)
    if chance.random() < 0.3:
        del result[int(chance.random() * len(result)) :]
    return bytes(result)


def weight_files(place: Place, wanted: int) -> Row:
    """A file of weights is read, whatever numbers it holds, or refused with a message
    that names it."""
    tries.make_tests_importable()

    def attempt(folder: Path, number: int) -> Try:
        chance = random.Random(number)
        forms = _weight_files()
        name, content, read = forms[number % len(forms)]
        path = folder / name
        path.write_bytes(altered(content, chance, most=3, head=300))
        return Try(True, outcome=_outcome(lambda: read(path), name, "--"))

    return tries.count(place, "altered file of weights", wanted, attempt, most=wanted)


@functools.cache
def _weight_files() -> list[tuple[str, bytes, Callable[[Path], Any]]]:
    """Name, content and reader of each."""
    from caffe_files import binaryproto, caffemodel

    from alexnet_jax.weights import any_format, network_file, npz
    from alexnet_jax.weights import caffemodel as reading

    small = {layer: (np.ones((4, 2)), np.ones(4)) for layer in ("conv1", "fc6", "fc8")}
    arrays = io.BytesIO()
    np.savez(arrays, allow_pickle=False, **{f"{n}_w": w for n, (w, _) in small.items()})
    whole = _written(network_file.write, f"digits{network_file.SUFFIX}")
    converted = _written(npz.write, "digits.npz")

    def read(path: Path) -> Any:
        return any_format.read(path, any_format.Hints())

    return [
        ("old.caffemodel", caffemodel(small, old=True), reading.read_net),
        ("new.caffemodel", caffemodel(small), reading.read_net),
        ("mean.binaryproto", binaryproto(np.ones((3, 4, 4))), reading.read_mean),
        ("net.npz", arrays.getvalue(), npz.read),
        ("net.npy", arrays.getvalue()[:200], npz.read),
        ("whole.caffemodel", caffemodel(small), read),
        (f"digits{network_file.SUFFIX}", whole, read),
        ("digits.npz", converted, read),
    ]


def _written(write: Callable[[Path, Any], None], name: str) -> bytes:
    """The file of a network for digits."""
    from stand_ins import digits_network

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path, digits_network())
        return path.read_bytes()
