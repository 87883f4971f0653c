"""The page: HTML, CSS and JavaScript of `web/`, filled with content.

It asks for nothing: a content security policy allows the styles and the script of the
page itself, by their hashes, and images from data. Content is JSON in which no
character can end its element, so names stay names.
"""

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

from alexnet_jax.system import atomic_files

WEB = Path(__file__).parent / "web"
# In this order they are one script.
SCRIPTS = (
    *("network", "packed", "drawing", "controls", "images", "figure2"),
    *("part1_network", "part2_activation", "part3_devices", "part4_norm"),
    *("part5_pooling", "part6_augmentation", "part7_dropout", "part8_learned"),
    *("part9_try", "page"),
)


def write(path: Path, content: dict[str, Any]) -> int:
    """Writes the page, the whole file or nothing; returns its bytes."""
    page = render(content).encode()
    atomic_files.write_bytes(path, page)
    return len(page)


def render(content: dict[str, Any]) -> str:
    """The HTML of a page; the same content gives the same page."""
    style, script = (WEB / "page.css").read_text(), _script()
    policy = (
        "default-src 'none'; img-src data: blob:; "
        f"style-src {_hash(style)}; script-src {_hash(script)}"
    )
    parts = {
        "title": html.escape(content["title"]),
        "policy": policy,
        "style": style,
        "content": _json(content),
        "script": script,
    }
    template = (WEB / "page.html").read_text()
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _script() -> str:
    texts = [(WEB / f"{name}.js").read_text() for name in SCRIPTS]
    return '"use strict";\n' + "\n".join(texts)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(content: dict[str, Any]) -> str:
    """JSON that stays within its element, whatever names it holds."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
