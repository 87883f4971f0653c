"""Records of campaigns, and the table that docs/reliability.md makes of them."""

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from tests.campaigns import jobs
from tests.campaigns.tries import Row

FOLDER = Path(__file__).parent / "records"


def write(path: Path, rows: list[Row]) -> None:
    """One file per campaign: its rows, and where and when they were counted."""
    content = _circumstances() | {"rows": [row._asdict() for row in rows]}
    path.write_text(json.dumps(content, indent=2) + "\n")


def _circumstances() -> dict[str, Any]:
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    commit = subprocess.run(
        command, cwd=jobs.REPOSITORY, capture_output=True, text=True
    )
    return {
        "commit": commit.stdout.strip(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "jax": importlib.metadata.version("jax"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
