"""tests/campaigns: a few tries of each; the whole is a command of its own."""

import json
import subprocess
import sys

import pytest

from tests.campaigns import jobs, run


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(run.CAMPAIGNS) - {"soak"}))
def test_nothing_is_lost(name, tmp_path):
    command = ["-m", "tests.campaigns.run", "--few", "--only", name, "--out", tmp_path]
    result = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        cwd=jobs.REPOSITORY,
    )
    if "mount" in result.stderr:
        pytest.skip("file systems cannot be mounted here")
    assert result.returncode == 0, result.stdout + result.stderr
    (row,) = json.loads((tmp_path / f"{name}.json").read_text())
    assert row["tries"] >= 3 and row["lost"] == 0
