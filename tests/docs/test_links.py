"""The pages: links and named files exist, and the index names every page."""

import dataclasses
import re
from pathlib import Path

import pytest

from alexnet_jax import config_json, presets

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted([*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md")])
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def links(page):
    """The relative targets of a page's links and images."""
    text = FENCE.sub("", page.read_text())
    targets = re.findall(r"\]\(<?([^)\s>]+)", text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [
        re.sub(r"[^\w\- ]", "", head).lower().replace(" ", "-") for head in headings
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        assert found.resolve().is_relative_to(REPOSITORY), target
        assert not anchor or anchor in anchors(found), target


BASES = [REPOSITORY / name for name in ("", "src/alexnet_jax", "benchmarks", "tests")]
HISTORY = ("CHANGELOG.md", "log.md")  # may name what is gone


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_python_files_exist(page):
    named = re.findall(r"`([\w./]+\.py)`", page.read_text())
    lost = [name for name in named if not any((base / name).exists() for base in BASES)]
    assert not lost or page.name in HISTORY


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_modules_that_exist(page):
    rooms = "alexnet_jax|benchmarks|experiments|tests"
    for name in re.findall(rf"python -m ((?:{rooms})(?:\.\w+)+)", page.read_text()):
        path = name.replace(".", "/") + ".py"
        assert (REPOSITORY / path).exists() or (REPOSITORY / "src" / path).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_options_are_fields(page):
    fields = config_json.flatten(dataclasses.asdict(presets.DIGITS))
    options = re.findall(
        r"--((?:model|data|augment|optimizer|run)\.[\w.-]*\w)", page.read_text()
    )
    assert {option.replace("-", "_") for option in options} <= fields.keys()


def test_the_index_names_every_page_and_notebook():
    listed = {(DOCS / target).resolve() for target in links(DOCS / "index.md")}
    pages = {*DOCS.glob("*.md"), *(REPOSITORY / "notebooks").glob("*.ipynb")}
    assert pages - {DOCS / "index.md"} <= listed
    assert {REPOSITORY / "benchmarks", REPOSITORY / "CONTRIBUTING.md"} <= listed
