"""docs/architecture.md: its tree has the files and folders of the package."""

import re
from pathlib import Path

import alexnet_jax

PACKAGE = Path(alexnet_jax.__file__).parent
REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()


def test_the_tree_is_that_of_the_package():
    tree = PAGE.split("```")[1]
    package, others = re.split(r"^(?=experiments/)", tree, flags=re.MULTILINE)
    there = {
        path.name + "/" * path.is_dir()
        for path in PACKAGE.iterdir()
        if not path.name.startswith("_")
    }
    listed = re.findall(r"^  (\S+/|\w+\.py(?: \w+\.py)*)", package, re.MULTILINE)
    assert set(" ".join(listed).split()) == there
    for folder in re.findall(r"^(\w+/)", others, re.MULTILINE):
        assert (REPOSITORY / folder).is_dir(), folder
