"""Images of users as a source of examples: files, folders, arrays.

They pass through the same loader as a dataset. An unreadable image does not stop the
others; `Source.skipped` holds the reason. Unlike for images of a dataset, the EXIF
orientation is applied and transparent pixels become white.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from alexnet_jax.config import Config
from alexnet_jax.data import decoding, picture_lists
from alexnet_jax.data.picture_lists import Picture
from alexnet_jax.data.source import Source, open_source
from alexnet_jax.errors import UserError
from alexnet_jax.system.streams import printable

# EXIF orientation: quarter turns counterclockwise.
_QUARTERS = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}
_MIRRORED = (2, 4, 5, 7)


def open_inputs(
    config: Config,
    arguments: Sequence[Picture],
    *,
    dataset: str | None,
    split: str | None,
    data_dir: str | None,
    labels: Sequence[str] | None = None,
    crops: bool = False,
) -> Source:
    """Opens the input of a command: files and folders, or a split of a dataset.

    Args:
        config: configuration of the network. It gives the image size, and the dataset
            or the split if only the other is given.
        labels: see `open_pictures`.
        crops: the images are exactly the network's crops, and are not scaled.

    Raises:
        UserError: neither or both are given, or the input does not exist.
    """
    if dataset is None and split is None:
        pictures = picture_lists.find(arguments)
        size, squash = input_size(config, crops), config.data.squash
        return open_pictures(pictures, size, labels, squash=squash, exact=crops)
    if arguments:
        raise UserError("give images or a dataset (--dataset, --split), not both.")
    settings = dataclasses.replace(
        config.data,
        name=dataset or config.data.name,
        data_dir=data_dir or config.data.data_dir,
        image_size=input_size(config, crops),
        label="label" if dataset else config.data.label,
        damaged="skip",
    )
    source = open_source(settings, split or config.data.eval_split)
    return _checked_crops(source) if crops else source


def input_size(config: Config, crops: bool) -> int:
    """Side of the images that go to the device: that of the crop if they are crops."""
    return config.augment.crop_size if crops else config.data.image_size


def _checked_crops(source: Source) -> Source:
    """The same source; an example that is not exactly of its size counts as damaged."""

    def fetch(index: int, out: np.ndarray) -> int:
        with decoding.opened(source.records[index]["image"]) as image:
            _check_crop(image.height, image.width, source.image_size)
        return source.fetch(index, out)

    return dataclasses.replace(source, fetch=fetch)


def open_pictures(
    pictures: Sequence[Picture],
    size: int,
    labels: Sequence[str] | None = None,
    *,
    squash: bool = False,
    exact: bool = False,
) -> Source:
    """A source of pictures, uint8 `[size, size, 3]`, RGB 0-255.

    Args:
        pictures, squash, exact: see `read_into`.
        labels: the class of each. None means that all labels are -1.
    """
    class_names = sorted(set(labels)) if labels else None
    label_of = {name: label for label, name in enumerate(class_names or [])}

    def fetch(index: int, out: np.ndarray) -> int:
        read_into(pictures[index], out, squash=squash, exact=exact)
        return label_of[labels[index]] if labels else -1

    return Source(
        name="pictures",
        split="all",
        num_examples=len(pictures),
        class_names=class_names,
        image_size=size,
        fingerprint="",
        directory=Path(),
        records=[{"file_name": key} for key in picture_lists.keys(pictures)],
        fetch=fetch,
        skip_damaged=True,
    )


def refuse_problems(source: Source) -> None:
    """Raises UserError if pictures could not be read; names each one and the reason."""
    problems = source.problems()
    if problems:
        lines = [printable(f"{key}: {text}") for key, text in problems.items()]
        raise UserError("images that cannot be read:\n" + "\n".join(lines))


def read_into(
    picture: Picture, out: np.ndarray, *, squash: bool = False, exact: bool = False
) -> None:
    """Writes the scaled centre square of a picture to `out`, uint8 `[size, size, 3]`.

    Treated like the images of a dataset: the shorter side is scaled to `size` and the
    centre taken (paper section 2). See `decoding.fit`.

    Args:
        picture: a path; uint8 pixels 0-255, RGB `[height, width, 3]` or grey
            `[height, width]`; or a Pillow image.
        squash: scales the whole picture, whatever its proportions, instead of its
            centre square.
        exact: refuses a picture that is not size x size, so that none is scaled.

    Raises:
        ValueError: not an image, a damaged one, one of another size if `exact`, or an
            array of another type or shape.
        OSError: the file cannot be read.
    """
    if isinstance(picture, str | Path):
        _read_file_into(Path(picture), out, squash, exact)
        return
    pixels = _pixels(picture)
    if exact:
        _check_crop(pixels.shape[0], pixels.shape[1], len(out))
    out[...] = decoding.fit(pixels, out.shape[0], squash=squash)


def _check_crop(height: int, width: int, size: int) -> None:
    if (height, width) != (size, size):
        raise ValueError(
            f"{width} x {height} pixels, but the network's crop is {size} x {size}, "
            "and views crop scales nothing"
        )


def _read_file_into(path: Path, out: np.ndarray, squash: bool, exact: bool) -> None:
    encoded = decoding.read_file(path)
    orientation, transparent = _header(encoded)
    if transparent:
        with decoding.opened(encoded) as image:
            read_into(image, out, squash=squash, exact=exact)
    elif orientation == 1 and not exact:
        decoding.read_into(encoded, out, squash=squash)
    else:
        pixels = upright(decoding.decode(encoded), orientation)
        read_into(pixels, out, squash=squash, exact=exact)


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
