"""Records of campaigns: what was counted, where and when."""

import datetime
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

from alexnet_jax.system import provenance, threads

FOLDER = Path(__file__).parent / "records"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    content = _circumstances() | {"rows": rows}
    path.write_text(json.dumps(content, indent=2) + "\n")


def _circumstances() -> dict[str, Any]:
    return {
        "commit": provenance.commit(digits=7) or "",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": provenance.processor(),
        "cores": threads.usable_cores(),
        "python": platform.python_version(),
        "jax": importlib.metadata.version("jax"),
    }
