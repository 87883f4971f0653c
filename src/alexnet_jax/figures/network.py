"""Figure 2: the layers of each column, and where the columns exchange their maps."""

from typing import Any, NamedTuple

from alexnet_jax.config import CONV_LAYERS, DENSE_LAYERS, Config
from alexnet_jax.figures import drawing
from alexnet_jax.inference import activations

ROWS = 4  # more columns than this are not all drawn
_SMALL: Any = {
    **{"ha": "center", "va": "center", "fontsize": 7.5, "zorder": 2.5},
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.8},  # over lines
}
_COLORS = (drawing.DARK, drawing.ACCENT)

# Inches.
_STEP = 0.9  # from layer to layer
_ROW = 0.78
_SLANT = (0.42, 0.3)  # a unit of depth, right and up


class Layer(NamedTuple):
    """A layer of the network; the image is one too."""

    name: str
    sees: str
    """image, own or both, as in the configuration; "" for the image."""
    size: int
    """Height and width of its maps in pixels; 0 for a fully connected layer."""
    maps: int
    """Maps or units of one column."""


def collect(config: Config) -> list[Layer]:
    """The image and the layers that the network has, in order."""
    net = config.model
    shapes = activations.shapes(config)
    layers = [Layer("image", "", config.augment.crop_size, 3)]
    for name in (*CONV_LAYERS, *DENSE_LAYERS):
        if name in net.without:
            continue
        *size, maps = shapes[f"{name}.linear"]
        side, sees = (size or [0])[0], getattr(net, name).sees
        layers.append(Layer(name, sees, side, maps // net.num_columns))
    return layers


def draw(axes: Any, layers: list[Layer], num_columns: int) -> None:
    """Draws a row of boxes per column: height and depth of a box are those of the maps,
    its width their number. Lines show which maps a layer sees."""
    rows = min(num_columns, ROWS)
    heights = [_ROW * (rows - 1) / 2 - _ROW * row for row in range(rows)]
    boxes = [_box_of(layer, _STEP * i, layers[0]) for i, layer in enumerate(layers)]
    places = [[0.0], *[heights] * (len(layers) - 1)]
    for i, layer in enumerate(layers):
        if i:
            _lines(axes, boxes[i - 1 : i + 1], places[i - 1], heights, layer.sees)
        for row, y in enumerate(places[i]):
            _draw_box(axes, boxes[i], y, _COLORS[row % 2] if i else "#BBBBBB")
            axes.text(boxes[i].x, y - 0.37, _size(layer), **_SMALL)
        axes.text(boxes[i].x, heights[0] + 0.45, layer.name, **_SMALL, weight="bold")
    if num_columns > 1:
        for row, y in enumerate(heights):
            style = {"color": text_color(row), "weight": "bold", "va": "center"}
            axes.text(boxes[-1].x + 0.3, y, f"column {row}", fontsize=8, **style)
    axes.set_xlim(-0.4, boxes[-1].x + (0.95 if num_columns > 1 else 0.4))
    axes.set_ylim(heights[-1] - 0.42, heights[0] + 0.52)
    axes.set_aspect("equal")
    axes.set_axis_off()


def text_color(column: int) -> str:
    """The colour of a column, dark enough for letters."""
    return (drawing.DARK, "#9A6200")[column % 2]


class _Box(NamedTuple):
    """A box in oblique projection, in inches."""

    x: float
    width: float
    height: float
    depth: float

    @property
    def half(self) -> float:
        return (self.width + self.depth * _SLANT[0]) / 2


def _box_of(layer: Layer, x: float, image: Layer) -> _Box:
    """Areas and numbers vary by orders of magnitude; roots keep all of them visible."""
    width = 0.02 if layer is image else 0.035 + 0.0125 * layer.maps**0.45
    if not layer.size:
        return _Box(x, width, 0.3, 0.18)
    side = (layer.size / image.size) ** 0.5
    return _Box(x, width, 0.12 + 0.36 * side, 0.1 + 0.3 * side)


def _draw_box(axes: Any, box: _Box, y: float, color: str) -> None:
    x, width, height, depth = box
    right, up = depth * _SLANT[0], depth * _SLANT[1]
    x0, x1, y0, y1 = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    x0, x1, y0, y1 = x0 - right / 2, x1 - right / 2, y0 - up / 2, y1 - up / 2
    faces = (
        ([x0, x1, x1, x0], [y0, y0, y1, y1], 0.55),
        ([x0, x1, x1 + right, x0 + right], [y1, y1, y1 + up, y1 + up], 0.3),
        ([x1, x1 + right, x1 + right, x1], [y0, y0 + up, y1 + up, y1], 0.8),
    )
    for xs, ys, strength in faces:
        axes.fill(
            xs,
            ys,
            facecolor=_mixed(color, strength),
            edgecolor="white",
            lw=0.5,
            zorder=3,
        )


def _mixed(color: str, strength: float) -> tuple[float, ...]:
    """The colour mixed with white."""
    parts = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return tuple(1 - strength * (1 - part) for part in parts)


def _lines(
    axes: Any, boxes: list[_Box], before: list[float], after: list[float], sees: str
) -> None:
    """Lines from the boxes of a layer, at heights `before`, to those that see them."""
    start, end = boxes[0].x + boxes[0].half, boxes[1].x - boxes[1].half
    for y in after:
        for other in before if sees != "own" else [y]:
            crosses = sees == "both" and other != y
            axes.plot(
                [start, end],
                [other, y],
                color="black" if crosses else "#999999",
                lw=1.4 if crosses else 1,
                zorder=2,
            )


def _size(layer: Layer) -> str:
    """55 x 55 x 48, or the number of units."""
    numbers = [layer.size] * 2 * bool(layer.size) + [layer.maps]
    return "\N{MULTIPLICATION SIGN}".join(map(str, numbers))
