"""Images of users as a source of examples: files, folders, arrays.

They pass through the same loader as a dataset. An unreadable image does not stop the
others; `Source.skipped` holds the reason. Unlike for images of a dataset, the EXIF
orientation is applied and transparent pixels become white.
"""

import dataclasses
import os
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
from alexnet_jax.system.streams import printable

STANDARD_INPUT = "-"

# A path, an array of pixels or a Pillow image.
Picture = Any

# EXIF orientation: quarter turns counterclockwise.
_QUARTERS = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}
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
    """Opens the input of a command: files and folders, or a split of a dataset.

    Args:
        config: configuration of the network. It gives the image size, and the dataset
            or the split if only the other is given.
        class_names: see `open_pictures`.

    Raises:
        UserError: neither or both are given, or the input does not exist.
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
    """The files that command-line arguments refer to, in order.

    A folder means all images below it, sorted; "-" means a list of files on standard
    input, one per line.

    Raises:
        UserError: there are no files.
    """
    files = [path for argument in arguments for path in _expand(argument)]
    if not files:
        given = ", ".join(map(str, arguments))
        raise UserError(
            f"no images{given and f' in {given}'}: name image files, folders of them, "
            "or - for a list on the standard input."
        )
    return files


def _expand(argument: str | Path) -> Iterator[Path]:
    if argument == STANDARD_INPUT:
        lines = (line.strip() for line in sys.stdin.buffer)
        yield from (Path(os.fsdecode(line)) for line in lines if line)
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
        class_names: if given, the label of a file comes from the name of its folder, -1
            if that is no class. None means that all labels are -1.
        squash: see `read_into`.
    """
    keys = [str(p if isinstance(p, str | Path) else i) for i, p in enumerate(pictures)]
    label_of = {name: label for label, name in enumerate(class_names or [])}

    def fetch(index: int, out: np.ndarray) -> int:
        read_into(pictures[index], out, squash=squash)
        return label_of.get(Path(keys[index]).parent.name, -1)

    return Source(
        name="pictures",
        split="all",
        num_examples=len(pictures),
        class_names=class_names,
        image_size=size,
        fingerprint="",
        directory=Path(),
        records=[{"file_name": key} for key in keys],
        fetch=fetch,
        skip_damaged=True,
    )


def refuse_problems(source: Source) -> None:
    """Raises UserError if pictures could not be read; names each one and the reason."""
    problems = source.problems()
    if problems:
        lines = [printable(f"{key}: {text}") for key, text in problems.items()]
        raise UserError("images that cannot be read:\n" + "\n".join(lines))


def suffixes() -> set[str]:
    """The suffixes of image files that are read, such as ".jpg"."""
    known = Image.registered_extensions().items()
    return {suffix for suffix, name in known if name in decoding.formats()}


def read_into(picture: Picture, out: np.ndarray, *, squash: bool = False) -> None:
    """Writes the scaled centre square of a picture to `out`, uint8 `[size, size, 3]`.

    Treated like the images of a dataset: the shorter side is scaled to `size` and the
    centre taken (paper section 2). See `decoding.fit`.

    Args:
        picture: a path; uint8 pixels 0-255, RGB `[height, width, 3]` or grey
            `[height, width]`; or a Pillow image.
        squash: scales the whole picture, whatever its proportions, instead of its
            centre square.

    Raises:
        ValueError: not an image, a damaged one, or an array of another type or shape.
        OSError: the file cannot be read.
    """
    if isinstance(picture, str | Path):
        _read_file_into(Path(picture), out, squash)
        return
    pixels = _pixels(picture)
    out[...] = decoding.fit(pixels, out.shape[0], squash=squash)


def _read_file_into(path: Path, out: np.ndarray, squash: bool) -> None:
    encoded = decoding.read_file(path)
    orientation, transparent = _header(encoded)
    if transparent:
        with decoding.opened(encoded) as image:
            read_into(image, out, squash=squash)
    elif orientation == 1:
        decoding.read_into(encoded, out, squash=squash)
    else:
        pixels = upright(decoding.decode(encoded), orientation)
        out[...] = decoding.fit(pixels, out.shape[0], squash=squash)


def _header(encoded: bytes) -> tuple[int, bool]:
    """The EXIF orientation, 1 to 8, and True if there may be transparent pixels."""
    try:
        with decoding.opened(encoded) as image:
            return _orientation(image), image.has_transparency_data
    except ValueError:  # `decode` will report the problem
        return 1, False


def _orientation(image: Image.Image) -> int:
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors `[height, width, 3]` according to EXIF orientation, 1 to 8."""
    turned = np.rot90(pixels, _QUARTERS.get(orientation, 0))
    if orientation in _MIRRORED:
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _over_white(image: Image.Image) -> np.ndarray:
    if not image.has_transparency_data:
        return decoding.rgb(image)
    if image.mode.startswith("I"):  # its alpha would be right, but its grey clipped
        pixels = decoding.rgb(image)
        pixels[np.asarray(image) == image.info["transparency"]] = 255
        return pixels
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return decoding.rgb(Image.alpha_composite(white, rgba))


def _pixels(picture: Any) -> np.ndarray:
    """The pixels of an array or a Pillow image: uint8 `[height, width, 3]`."""
    if isinstance(picture, Image.Image):
        return upright(_over_white(picture), _orientation(picture))
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size:
        raise ValueError(
            f"an array of {pixels.dtype} {list(pixels.shape)}: expected uint8 pixels "
            "on 0-255, [height, width, 3] or [height, width], not empty"
        )
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    if pixels.shape[2] != 3:
        raise ValueError(f"an array of {pixels.shape[2]} channels: expected 3, RGB")
    return np.ascontiguousarray(pixels)
