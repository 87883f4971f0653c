"""Records of campaigns: what was counted, where and when."""

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from tests.campaigns import jobs

FOLDER = Path(__file__).parent / "records"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    content = _circumstances() | {"rows": rows}
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
