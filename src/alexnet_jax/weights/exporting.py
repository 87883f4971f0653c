"""A trained network into a file of any format that we write."""

import os
from collections.abc import Callable
from pathlib import Path

from alexnet_jax.errors import UserError
from alexnet_jax.weights import network_file, npz, torch_file, torchvision
from alexnet_jax.weights.network_file import Weights

Writer = Callable[[Path, Weights], None]

# By the end of the file's name.
_WRITERS: dict[str, Writer] = {
    network_file.SUFFIX: network_file.write,
    ".npz": npz.write,
    ".pth": torchvision.write_pth,
}
_WRITERS_OF_TORCHVISION: dict[str, Writer] = {
    network_file.SUFFIX: torchvision.write_safetensors,
    ".pth": torchvision.write_pth,
}


def writer(path: Path, *, as_torchvision: bool) -> Writer:
    """What writes a file of that name.

    Args:
        as_torchvision: with torchvision's names and layout; .pth always has them.

    Raises:
        UserError: there is no such format, the file is there already, or there is no
            place for it. So nothing long need be done first.
    """
    writers = _WRITERS_OF_TORCHVISION if as_torchvision else _WRITERS
    if path.suffix not in writers:
        raise UserError(f"{path}: the name should end in {', '.join(writers)}.")
    if path.exists():
        raise UserError(f"{path} is there already: delete it, or choose another name.")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path}: there is no folder for it that may be written to.")
    if path.suffix == ".pth":
        torch_file.check_installed(path)
    return writers[path.suffix]
