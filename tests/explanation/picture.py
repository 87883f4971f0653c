"""Makes the README's picture of the page of explain, with a digit drawn in it:

python -m alexnet_jax.explain --workdir digits --out explain/
python tests/explanation/picture.py explain/index.html docs/explain.png
"""

import io
import math
import sys
from pathlib import Path

import pages
from PIL import Image

_HEIGHT = 1150  # pixels of the picture
_GAP = 36


def arc(x, y, width, height, start, end):
    """Points on an ellipse, angles in degrees."""
    angles = [math.radians(start + (end - start) * step / 20) for step in range(21)]
    return [(x + width * math.cos(a), y + height * math.sin(a)) for a in angles]


THREE = arc(0.48, 0.31, 0.18, 0.17, 200, 450) + arc(0.48, 0.67, 0.2, 0.19, -90, 160)


def draw(page, points):
    pad = page.locator(".pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    places = [
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points
    ]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place)
    page.mouse.up()


def picture(path):
    """The first and the last part, beside each other."""
    with pages.browser() as browser:
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto(path.resolve().as_uri())
        draw(page, THREE)
        parts = [
            Image.open(io.BytesIO(page.locator(part).screenshot()))
            for part in ("#network", "#try")
        ]
    width = sum(part.width for part in parts) + 3 * _GAP
    joined = Image.new("RGB", (width, _HEIGHT), "#faf9f6")
    left = _GAP
    for part in parts:
        joined.paste(part, (left, 0))
        left += part.width + _GAP
    return joined


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    picture(source).quantize(128).save(target, optimize=True)
