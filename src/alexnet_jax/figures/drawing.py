"""Shared by all figures: an empty figure, colours, images, saving."""

from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.errors import UserError

# Distinct for colour-blind readers, and by lightness in greyscale.
DARK = "#0072B2"
LIGHT = "#9BD1F0"
ACCENT = "#E69F00"
GREY = "#777777"

_SETTINGS: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches; opens no window.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure  # heavy, and only needed here
    except ImportError as error:
        raise UserError(
            "figures need matplotlib: pip install matplotlib, or '.[plots]'."
        ) from error
    matplotlib.rcParams.update(_SETTINGS)
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Any, folder: Path, name: str) -> list[Path]:
    """Writes a figure as PNG and SVG; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    figure.savefig(png, dpi=150)
    figure.savefig(svg)
    return [png, svg]


def show(axes: Any, image: np.ndarray, **options: Any) -> None:
    """Shows an image without axes or interpolation."""
    axes.imshow(image, interpolation="nearest", **options)
    axes.set_axis_off()


def tiles(images: np.ndarray, columns: int, gap: int, fill: float) -> np.ndarray:
    """Lays images out in a grid.

    Args:
        images: `[n, height, width, ...]`.
        columns: images per row.
        gap: pixels between images.
        fill: value of the gaps.
    """
    count, height, width, *rest = images.shape
    rows = -(-count // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *rest)
    sheet = np.full(shape, fill, images.dtype)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet
