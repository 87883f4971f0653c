"""notebooks/address.py: badges open the notebook, the install cell knows the clone."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def address(tmp_path):
    """The script, working on copies of the notebooks."""
    spec = importlib.util.spec_from_file_location("address", FOLDER / "address.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path in FOLDER.glob("*.ipynb"):
        shutil.copy(path, tmp_path)
    module.FOLDER = tmp_path
    return module


def sources(folder):
    """Text of the first two cells of each notebook, by file name."""
    return {
        path.name: [
            "".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]
        ][:2]
        for path in folder.glob("*.ipynb")
    }


def test_badges_point_at_their_notebook(address, tmp_path, monkeypatch):
    for owner in ("somebody", "another"):  # the second time replaces the first
        place = f"https://github.com/{owner}/alexnet_jax"
        monkeypatch.setattr("sys.argv", ["address.py", place])
        assert address.main() == 0
        found = sources(tmp_path)
        assert len(found) == 3
        for name, (title, install) in found.items():
            path = f"github/{owner}/alexnet_jax/blob/main/notebooks/{name}"
            assert f"(https://colab.research.google.com/{path})" in title
            assert f'address = "{place}"' in install


def test_the_same_address_again_changes_nothing(address, tmp_path, monkeypatch):
    """Elsewhere than on GitHub the badge opens Colab itself, as committed."""
    before = sources(tmp_path)
    monkeypatch.setattr("sys.argv", ["address.py", "https://example.org/x"])
    assert address.main() == 0
    for name, (title, install) in sources(tmp_path).items():
        assert title == before[name][0]
        assert install == before[name][1].replace('""', '"https://example.org/x"', 1)


def test_no_address(address, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["address.py", "here"])
    assert address.main() == 2
    assert "https://github.com/OWNER/NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    "remote", ["git@github.com:o/n.git", "https://github.com/o/n.git"]
)
def test_the_address_of_the_remote(address, monkeypatch, remote):
    result = type("Result", (), {"stdout": f"{remote}\n"})
    monkeypatch.setattr(address.subprocess, "run", lambda *_, **__: result)
    assert address.origin() == "https://github.com/o/n"
