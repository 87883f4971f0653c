"""Benchmarks: `python -m benchmarks.NAME`, from the root of the repository.

The scripts import each other as top-level modules, which Python finds by itself only
when a script is run by its path. Adding this folder to the path makes `-m` work too.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
