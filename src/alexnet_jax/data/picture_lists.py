"""Which pictures an argument means: one or several, files, folders, arrays."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.data import decoding
from alexnet_jax.errors import UserError

STANDARD_INPUT = "-"

# A path, an array of pixels or a Pillow image.
Picture = Any


def listed(images: Any) -> list[Picture]:
    """One picture or several as a list.

    Args:
        images: a path, a Pillow image or uint8 pixels `[height, width, 3]` or grey
            `[height, width]`: one picture. Pixels `[images, height, width, 3]`, or a
            list, a column of a table or any other iterable of pictures: several.

    Raises:
        UserError: an array of another shape or type, or no pictures.
    """
    if isinstance(images, str | Path) or hasattr(images, "convert"):
        return [images]
    if hasattr(images, "ndim"):
        return _pictures_of(np.asarray(images))
    if not isinstance(images, Iterable) or isinstance(images, bytes):
        raise UserError(
            f"images of type {type(images).__name__}: give a path, an array of pixels, "
            "a Pillow image, or a list of them."
        )
    return list(images)


def _pictures_of(array: np.ndarray) -> list[Picture]:
    shape = array.shape
    if array.ndim == 1 and array.dtype.kind in "OU" and array.size:  # of paths
        return list(array)
    is_one = array.ndim == 2 or (array.ndim == 3 and shape[-1] in (1, 3))
    is_several = array.ndim == 4 and shape[-1] in (1, 3)
    if array.dtype != np.uint8 or not array.size or not (is_one or is_several):
        raise UserError(
            f"an array of {array.dtype} {list(shape)}: expected uint8 pixels on 0-255, "
            "[height, width, 3] or grey [height, width] for one image, [images, "
            "height, width, 3] for several."
        )
    return [array] if is_one else list(array)


def find(arguments: Sequence[Picture]) -> list[Picture]:
    """The files that command-line arguments refer to, in order.

    A folder means all images below it, sorted; "-" means a list of files on standard
    input, one per line. Arrays and Pillow images stand for themselves.

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


def _expand(argument: Picture) -> Iterator[Picture]:
    if not isinstance(argument, str | Path):
        yield argument
    elif argument == STANDARD_INPUT:
        lines = (line.strip() for line in sys.stdin.buffer)
        yield from (Path(os.fsdecode(line)) for line in lines if line)
    elif Path(argument).is_dir():
        known = decoding.suffixes()
        below = Path(argument).rglob("*")
        yield from sorted(path for path in below if path.suffix.lower() in known)
    else:
        yield Path(argument)


def keys(pictures: Sequence[Picture]) -> list[str]:
    """The names of pictures: the path as given, else the place in the list."""
    return [
        str(each if isinstance(each, str | Path) else place)
        for place, each in enumerate(pictures)
    ]
