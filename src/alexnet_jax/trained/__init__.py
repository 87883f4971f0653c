"""Small trained networks that come with the package.

Each is a weights file, its model card and the record of the run that made it;
docs/weights.md has the commands.
"""

from pathlib import Path

from alexnet_jax.errors import UserError
from alexnet_jax.weights import hub

NAMES = ("digits", "cifar10")


def locate(path: str | Path) -> Path:
    """The weights file of a network that comes with the package, by its name, or of one
    on the Hugging Face hub, by its address (hf://OWNER/NAME).

    Every other path is returned as it is, and so is a run directory of that name.

    Raises:
        UserError: there is no such path, and no network of that name.
    """
    if hub.is_address(path):
        return hub.download(path)
    path = Path(path)
    if str(path) in NAMES and not (path / "config.json").exists():
        return Path(__file__).parent / f"{path}.safetensors"
    if not path.exists():
        raise UserError(
            f"{path} does not exist: name a run directory, a weights file, or a "
            f"network that comes with the package ({', '.join(NAMES)}), or hf://OWNER/"
            "NAME."
        )
    return path
