"""Benchmarks: `python -m benchmarks.NAME`, or each script by its path.

The scripts import each other as top-level modules, which Python finds by itself only
when a script is run by its path. So this folder goes on the path for `-m`, too.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
