"""Networks on the Hugging Face hub: hf://OWNER/NAME.

A repository has one weights file of ours and its model card as README.md. Needs the
package huggingface_hub, which keeps what it has downloaded, and reads that without a
network.
"""

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alexnet_jax.errors import UserError

if TYPE_CHECKING:  # imports JAX, which commands do after their options
    from alexnet_jax.weights.network import Network

FILE = "model.safetensors"
CARD = "README.md"

# A path turns hf://a into hf:/a. A revision is a branch, a tag or a commit.
_ADDRESS = re.compile(
    r"hf:/{1,2}(?P<name>[\w.-]+/[\w.-]+?)(@(?P<revision>[\w./-]+))?/?$"
)


def is_address(path: str | Path) -> bool:
    """True for hf://OWNER/NAME, also as a path."""
    return str(path).startswith("hf:/")


def download(address: str | Path) -> Path:
    """The weights file of a repository, in the cache of the hub on this machine.

    Raises:
        UserError: it is no address, there is no such repository or file, or neither the
            hub nor a copy can be reached.
    """
    name, revision = _parsed(address)
    hub = import_hub(address)
    try:
        file = hub.hf_hub_download(name, FILE, revision=revision)
    except Exception as error:  # of its own, of its HTTP library and of the system
        raise UserError(
            f"hf://{name}: {FILE} cannot be fetched ({_first_line(error)})"
        ) from error
    return Path(file)


def push(network: "Network", address: str | Path) -> str:
    """Uploads a network with its model card; creates the repository if needed.

    Returns:
        The address on the web of what has been uploaded.

    Raises:
        UserError: the hub cannot be reached or refuses, for example without a token.
    """
    from alexnet_jax.weights import model_card, network_file

    name, revision = _parsed(address)
    hub = import_hub(address)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        network_file.write(path, network)
        card = model_card.text(path, network, f"hf://{name}")
        (Path(folder) / CARD).write_text(card)
        try:
            hub.create_repo(name, exist_ok=True)
            done = hub.upload_folder(
                repo_id=name, folder_path=folder, revision=revision
            )
        except Exception as error:
            raise UserError(
                f"hf://{name} cannot be written ({_first_line(error)}). Its owner "
                "needs a token: hf auth login"
            ) from error
    return str(done)


def import_hub(address: str | Path) -> Any:
    """The package huggingface_hub; UserError if it is not installed."""
    try:
        import huggingface_hub  # pyright: ignore[reportMissingImports]  # optional
    except ImportError as error:
        raise UserError(
            f"{address}: the hub needs huggingface_hub (pip install huggingface_hub)."
        ) from error
    return huggingface_hub


def _parsed(address: str | Path) -> tuple[str, str | None]:
    match = _ADDRESS.match(str(address))
    if match is None:
        raise UserError(
            f"{address} is no address of the hub: write hf://OWNER/NAME, or "
            "hf://OWNER/NAME@REVISION."
        )
    return match["name"], match["revision"]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
