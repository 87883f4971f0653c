"""Writes the address of the repository into the notebooks: badges and install cells.

python notebooks/address.py https://github.com/OWNER/NAME

Without an address it takes that of git's remote "origin". The badge of a notebook on
GitHub then opens that notebook in Colab.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

COLAB = "https://colab.research.google.com/"
FOLDER = Path(__file__).parent


def origin() -> str:
    """The address of the remote, as one for browsers."""
    command = ["git", "remote", "get-url", "origin"]
    address = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True).stdout
    address = address.strip().removesuffix(".git")
    return re.sub(r"^git@([^:]+):", r"https://\1/", address)


def badge(address: str, name: str) -> str:
    """The link of a notebook's badge; to Colab itself if it is not on GitHub."""
    place = re.fullmatch(r"https://github\.com/([^/]+/[^/]+)", address)
    return f"{COLAB}github/{place[1]}/blob/main/notebooks/{name}" if place else COLAB


def write(path: Path, address: str) -> None:
    """Writes the address into the first two cells of a notebook."""
    notebook = json.loads(path.read_text())
    title, install = notebook["cells"][:2]
    for cell, pattern, new in (
        (
            title,
            rf"\({re.escape(COLAB)}(github/[^)]*)?\)",
            f"({badge(address, path.name)})",
        ),
        (install, r'^address = ".*?"', f'address = "{address}"'),
    ):
        text = "".join(cell["source"])
        text = re.sub(pattern, lambda _, new=new: new, text, flags=re.MULTILINE)
        cell["source"] = text.splitlines(keepends=True)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def main() -> int:
    address = sys.argv[1].rstrip("/") if len(sys.argv) > 1 else origin()
    if not address.startswith("https://"):
        print("error: name the address, https://github.com/OWNER/NAME", file=sys.stderr)
        return 2
    for path in sorted(FOLDER.glob("*.ipynb")):
        write(path, address)
    return 0


if __name__ == "__main__":
    sys.exit(main())
