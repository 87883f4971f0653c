"""Notebooks: stripped, and run to their end in a small size on one device and two."""

import os
import re
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

FOLDER = Path(__file__).parents[1] / "notebooks"
# What replaces the cell of parameters.
SMALL = {
    "quickstart": 'workdir = "{folder}/run"\nnum_epochs = 2',
    "two_columns": 'preset = "digits"',
    "ablations": 'experiments = ("pooling",)\nnum_epochs = 1\nseeds = (0,)\n'
    'workdir = "{folder}/sweep"',
}
# What the outputs must say.
SAYS = {
    "quickstart": r"top-1 error \d+\.\d+%",
    "two_columns": r"gradients differ by",
    "ablations": r"overlapping pooling",
}
COLLECTIVES = {1: r"Counter\(\)", 2: r"'all-gather': 4.*'reduce-scatter': 4"}


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def test_all_are_run():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_stripped(name):
    notebook = read(name)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None


@pytest.mark.notebook
@pytest.mark.parametrize("cpu_devices", [1, 2])
@pytest.mark.parametrize("name", SMALL)
def test_runs(name, cpu_devices, digits_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", digits_dir)
    # The kernel finds what this process finds, and installs nothing.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    notebook = read(name)
    (place,) = (
        index
        for index, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", ())
    )
    parameters = SMALL[name].format(folder=tmp_path)
    notebook.cells[place].source = f"{parameters}\ncpu_devices = {cpu_devices}"
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    said = "\n".join(text_of(output) for output in outputs)
    assert re.search(SAYS[name], said), said
    if name == "two_columns":
        assert re.search(COLLECTIVES[cpu_devices], said), said
    else:
        assert any("image/png" in output.get("data", {}) for output in outputs)


def text_of(output):
    data = output.get("data", {})
    return output.get("text") or data.get("text/markdown") or data.get("text/plain", "")
