"""Images of users as a source of examples: files, folders, arrays.

They pass through the same loader as a dataset. One that cannot be read does not stop
the others: `Source.skipped` has its reason. Beyond what images of a dataset need, the
orientation that a camera noted is applied, and transparent pixels are white.
"""

import dataclasses
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from alexnet_jax.config import Config
from alexnet_jax.data import decoding
from alexnet_jax.data.source import Source, open_source
from alexnet_jax.errors import UserError

STANDARD_INPUT = "-"

# A file, an array of pixels, or an image of Pillow.
Picture = Any

_QUARTERS = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}  # turns against the clock, by EXIF
_MIRRORED = (2, 4, 5, 7)


def open_inputs(
    config: Config,
    arguments: Sequence[str | Path],
    *,
    dataset: str | None,
    split: str | None,
    data_dir: str | None,
    class_names: list[str] | None = None,
) -> Source:
    """What a command is to look at: files and folders, or a split of a dataset.

    Args:
        config: of the network: the size of the images, and the dataset and the split
            that stand for what is left out.
        class_names: see `open_pictures`.

    Raises:
        UserError: there is neither or both, or it is not there.
    """
    if dataset is None and split is None:
        size, squash = config.data.image_size, config.data.squash
        return open_pictures(find(arguments), size, class_names, squash=squash)
    if arguments:
        raise UserError("give images or a dataset (--dataset, --split), not both.")
    settings = dataclasses.replace(
        config.data,
        name=dataset or config.data.name,
        data_dir=data_dir or config.data.data_dir,
        label="label" if dataset else config.data.label,
        damaged="skip",
    )
    return open_source(settings, split or config.data.eval_split)


def find(arguments: Sequence[str | Path]) -> list[Path]:
    """The files that arguments of a command line mean, in their order.

    A folder means all images below it, sorted; "-" a list on the standard input, one a
    line.

    Raises:
        UserError: there is no file among them.
    """
    found = [path for argument in arguments for path in _meant(argument)]
    if not found:
        given = ", ".join(map(str, arguments))
        raise UserError(
            f"no images{given and f' in {given}'}: name image files, folders of them, "
            "or - for a list on the standard input."
        )
    return found


def _meant(argument: str | Path) -> Iterator[Path]:
    if argument == STANDARD_INPUT:
        lines = (line.strip() for line in sys.stdin)
        yield from (Path(line) for line in lines if line)
    elif Path(argument).is_dir():
        known = suffixes()
        below = Path(argument).rglob("*")
        yield from sorted(path for path in below if path.suffix.lower() in known)
    else:
        yield Path(argument)


def open_pictures(
    pictures: Sequence[Picture],
    size: int,
    class_names: list[str] | None = None,
    *,
    squash: bool = False,
) -> Source:
    """A source of pictures, uint8 `[size, size, 3]`, RGB 0-255.

    Args:
        pictures: see `read_into`.
        class_names: where given, the label of a file is the folder that it lies in;
            otherwise pictures have none.
        squash: see `read_into`.
    """
    labels = _labels(pictures, class_names)

    def fetch(index: int, out: np.ndarray) -> int:
        read_into(pictures[index], out, squash=squash)
        return int(labels[index])

    return Source(
        name="pictures",
        split="all",
        num_examples=len(pictures),
        class_names=class_names,
        image_size=size,
        fingerprint="",
        directory=Path(),
        records=[{"file_name": _name(i, one)} for i, one in enumerate(pictures)],
        fetch=fetch,
        skip_damaged=True,
    )


def _name(index: int, picture: Picture) -> str:
    return str(picture) if isinstance(picture, str | Path) else str(index)


def _labels(pictures: Sequence[Picture], class_names: list[str] | None) -> np.ndarray:
    if class_names is None:
        return np.full(len(pictures), -1)
    place = {name: label for label, name in enumerate(class_names)}
    return np.array([place.get(Path(one).parent.name, -1) for one in pictures])


def refuse_problems(source: Source) -> None:
    """Raises UserError that names each picture that could not be read, and why."""
    problems = source.problems()
    if problems:
        lines = [f"{key}: {problem}" for key, problem in problems.items()]
        raise UserError("images that cannot be read:\n" + "\n".join(lines))


def suffixes() -> set[str]:
    """The suffixes of files that Pillow reads, ".jpg" among them."""
    known = Image.registered_extensions()
    # Pillow knows films and tables of numbers too, but by name only.
    return {
        suffix
        for suffix, form in known.items()
        if form in Image.OPEN and Image.MIME.get(form, "").startswith("image/")
    }


def read_into(picture: Picture, out: np.ndarray, *, squash: bool = False) -> None:
    """Puts the centre square of a picture, scaled, into uint8 `[size, size, 3]`.

    The same pixels as those of a dataset's images: shorter side scaled to `size`, the
    centre taken (paper section 2). See `images.fit`.

    Args:
        picture: a path; uint8 pixels 0-255, RGB `[height, width, 3]` or grey
            `[height, width]`; or an image of Pillow.
        squash: all of it, whatever its proportions, instead of the centre square.

    Raises:
        ValueError: it is no image, a damaged one, or has other pixels.
        OSError: the file cannot be read.
    """
    if isinstance(picture, str | Path):
        _read_file_into(Path(picture), out, squash)
        return
    pixels = _pixels(picture)
    out[...] = decoding.fit(pixels, out.shape[0], squash=squash)


def _read_file_into(path: Path, out: np.ndarray, squash: bool) -> None:
    encoded = path.read_bytes()
    orientation, transparent = _header(encoded)
    if transparent:
        decoding.decode(encoded)  # says what is wrong with a damaged file
        with Image.open(io.BytesIO(encoded)) as image:
            read_into(image, out, squash=squash)
    elif orientation == 1:
        decoding.read_into(encoded, out, squash=squash)
    else:
        pixels = upright(decoding.decode(encoded), orientation)
        out[...] = decoding.fit(pixels, out.shape[0], squash=squash)


def _header(encoded: bytes) -> tuple[int, bool]:
    """Orientation by EXIF, 1 to 8, and whether there are transparent pixels."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            decoding.check_size(image.height, image.width)
            return _orientation(image), image.has_transparency_data
    # `decode` says what is wrong.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 1, False


def _orientation(image: Image.Image) -> int:
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors `[height, width, 3]` as EXIF's orientation says, 1 to 8."""
    turned = np.rot90(pixels, _QUARTERS.get(orientation, 0))
    if orientation in _MIRRORED:
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _pixels(picture: Any) -> np.ndarray:
    """uint8 `[height, width, 3]` of an array or of an image of Pillow."""
    if isinstance(picture, Image.Image):
        shown = picture
        if picture.has_transparency_data:
            over = picture.convert("RGBA")
            shown = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
        return upright(decoding.rgb(shown), _orientation(picture))
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise ValueError(
            f"an array of {pixels.dtype} {list(pixels.shape)}: give uint8 pixels on "
            "0-255, [height, width, 3] or [height, width]"
        )
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    if pixels.shape[2] != 3:
        raise ValueError(f"an array of {pixels.shape[2]} channels: give 3, RGB")
    return np.ascontiguousarray(pixels)
