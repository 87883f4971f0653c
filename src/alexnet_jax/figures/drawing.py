"""What all figures share: an empty one, colours, and the files."""

from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.errors import UserError

# Told apart by people who are colour-blind, and by their lightness in grey.
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
    """An empty figure of so many inches; no window is opened.

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
    """Writes a figure as PNG and as SVG; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    figure.savefig(png, dpi=150)
    figure.savefig(svg)
    return [png, svg]


def show(axes: Any, image: np.ndarray, **options: Any) -> None:
    """An image without axes, its pixels as they are."""
    axes.imshow(image, interpolation="nearest", **options)
    axes.set_axis_off()


def tiles(images: np.ndarray, columns: int, gap: int, fill: float) -> np.ndarray:
    """Images side by side, so many in a row.

    Args:
        images: `[n, height, width, ...]`.
        gap: pixels between them.
        fill: value of the gaps.
    """
    count, height, width, *rest = images.shape
    rows = -(-count // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *rest)
    sheet = np.full(shape, fill, images.dtype)
    for place, image in enumerate(images):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet
