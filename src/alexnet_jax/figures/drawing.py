"""Shared by all figures: an empty figure, colours, images, texts, saving."""

from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.errors import UserError

# Inches. On a README page this is 830 pixels, so that 8 points are 11 pixels.
WIDTH = 8.3
SMALL = 8  # points; no text is smaller

# Distinct for colour-blind readers, and by lightness in greyscale.
DARK = "#0072B2"
LIGHT = "#CFE3F1"
ACCENT = "#E69F00"
WRONG = "#B3400E"
GREY = "#777777"

# Before a class: the prediction is right, wrong, or nobody knows.
MARKS = {True: "\N{CHECK MARK} ", False: "\N{BALLOT X} ", None: ""}

_DASHED = (0, (3, 2))
_DPI = 200
_SETTINGS: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "text.parse_math": False,  # a class or a file may have $ in its name
    "svg.hashsalt": "alexnet_jax",  # the same figure gives the same file
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


def headline(figure: Any, text: str) -> None:
    """The title of a figure, at its upper left."""
    figure.suptitle(text, x=0.005, ha="left", fontsize=10, fontweight="bold")


def note(figure: Any, text: str) -> None:
    """An explanation, at the lower left of a figure."""
    figure.supxlabel(text, x=0.005, ha="left", fontsize=SMALL, color="#555555")


def save(figure: Any, folder: Path, name: str) -> list[Path]:
    """Writes a figure as PNG and SVG; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    figure.savefig(png, dpi=_DPI)
    figure.savefig(svg, metadata={"Date": None})
    return [png, svg]


def show(axes: Any, image: np.ndarray, **options: Any) -> None:
    """Shows an image without axes or interpolation."""
    axes.imshow(image, interpolation="nearest", **options)
    axes.set_axis_off()


def frame(axes: Any, right: bool | None) -> None:
    """Frames an image: a solid line if right, a dashed one if wrong, else none."""
    if right is None:
        return
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set(
            visible=True,
            color=DARK if right else WRONG,
            linewidth=2,
            linestyle="-" if right else _DASHED,
            capstyle="butt",  # others would close the gaps between the dashes
        )


def swatch(label: str, **style: Any) -> Any:
    """A patch for a legend."""
    from matplotlib.patches import Patch

    return Patch(label=label, **style)


def legend_of_frames() -> list[Any]:
    """Swatches for the frames of `frame`."""
    right, wrong = {"edgecolor": DARK}, {"edgecolor": WRONG, "ls": _DASHED}
    return [
        swatch(f"{MARKS[True]}right", facecolor="none", lw=2, **right),
        swatch(f"{MARKS[False]}wrong", facecolor="none", lw=2, **wrong),
    ]


def fitted(text: str, width: float, size: float = SMALL, weight: str = "normal") -> str:
    """The text, with its middle cut out until it is at most `width` inches wide."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(size=size, weight=weight)

    def cut(kept: int) -> str:
        if kept >= len(text):
            return text
        start, end = text[: kept - kept // 2], text[len(text) - kept // 2 :]
        return f"{start.rstrip()}\N{HORIZONTAL ELLIPSIS}{end.lstrip()}"

    def fits(kept: int) -> bool:
        path = TextPath((0, 0), cut(kept), prop=font)
        return path.get_extents().x1 <= 72 * width

    # Few letters are narrower than a quarter of their size, and measuring is slow.
    kept = min(len(text), int(72 * width / (size / 4)))
    while kept > 1 and not fits(kept):
        kept -= 1
    return cut(kept)


def logarithmic(axes: Any, digits: tuple[int, ...] = (1, 2, 5)) -> None:
    """Makes the vertical axis logarithmic, with plain numbers; 0 is below its end.

    Call it when the lines are drawn: their values are the ends of the axis.

    Args:
        digits: of the numbers on an axis of several decades.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    values = np.concatenate([np.ravel(line.get_ydata()) for line in axes.lines])
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return
    low, high = values.min() / 1.2, values.max() * 1.2
    subs = digits if high / low > 8 else range(1, 10)
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


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
