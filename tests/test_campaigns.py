"""tests/campaigns: their parts, the page of their counts, and a few tries of each; the
whole is a command of its own."""

import json
import os
import subprocess
import sys

import pytest

from tests.campaigns import fault_points, jobs, plan, power_loss, reliability


def test_the_page_has_the_records():
    text = reliability.PAGE.read_text()
    assert reliability.page(text) == text, "run python -m tests.campaigns.reliability"


def test_records_are_of_campaigns_and_nothing_was_lost():
    for path in reliability.records.FOLDER.iterdir():
        record = json.loads(path.read_text())
        assert path.stem in (*plan.CAMPAIGNS, "layouts")
        assert not any(row.get("lost") for row in record["rows"]), path.name


WRITE = """
import os, sys
from pathlib import Path
from tests.campaigns import fault_points

beside, folder = Path.cwd(), Path("run")
found = fault_points.FaultPoints(folder, beside, *sys.argv[1:])
found.install()
(folder / "synced").write_text("old")
with open(folder / "synced", "a") as file:
    file.flush()
    os.fsync(file.fileno())
    file.write(" and new")
descriptor = os.open(folder, os.O_RDONLY)
os.fsync(descriptor)
(folder / "unsynced").write_text("content")
os.replace(folder / "synced", folder / "kept")
if sys.argv[1:2] == [fault_points.END]:
    found.strike()
print(*found.points, sep="\\n")
"""


def disturbed(folder, *fault):
    """Runs WRITE with a fault; returns its exit code and all that was said."""
    (folder / "run").mkdir()
    result = subprocess.run(
        [sys.executable, "-c", WRITE, *fault],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(jobs.REPOSITORY)},
    )
    return result.returncode, result.stdout


def test_points_are_listed(tmp_path):
    code, said = disturbed(tmp_path)
    assert code == 0, said
    assert said.splitlines() == [
        "create synced #1",
        "write synced #1",
        "fsync synced #1",
        "write synced #2",
        "fsync . #1",
        "create unsynced #1",
        "write unsynced #1",
        "rename kept #1",
    ]


def test_a_kill_at_a_point(tmp_path):
    code, _ = disturbed(tmp_path, "write synced #2", fault_points.KILL)
    assert code == -9
    assert (tmp_path / "run" / "synced").read_text() == "old"


def test_a_short_write(tmp_path):
    code, said = disturbed(tmp_path, "write unsynced #1", fault_points.SHORT)
    assert code and "No space left on device" in said
    assert (tmp_path / "run" / "unsynced").read_text() == "con"


@pytest.mark.parametrize(
    "names, left",
    [(True, {"synced": "old"}), (False, {"kept": "old", "unsynced": ""})],
)
def test_a_loss_of_power(tmp_path, names, left):
    code, _ = disturbed(tmp_path, fault_points.END, fault_points.POWER)
    assert code == -9
    power_loss.lose(tmp_path / "run", tmp_path, names=names)
    found = {path.name: path.read_text() for path in (tmp_path / "run").iterdir()}
    assert found == left


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(plan.CAMPAIGNS) - {"soak"}))
def test_nothing_is_lost(name, tmp_path):
    command = ["-m", "tests.campaigns.run", "--few", "--only", name, "--out", tmp_path]
    result = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        cwd=jobs.REPOSITORY,
    )
    if f"{name}: skipped" in result.stdout:
        pytest.skip("file systems cannot be mounted here")
    assert result.returncode == 0, result.stdout + result.stderr
    for row in json.loads((tmp_path / f"{name}.json").read_text())["rows"]:
        assert row["tries"] >= 1 and row["lost"] == 0
