"""Files of the safetensors format: named arrays, and texts about them. No pickles."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """All arrays and all texts of a file.

    Raises:
        UserError: it is not there, damaged, or of another format.
    """
    with _opened(path) as file:
        arrays = {name: _array(path, file, name) for name in file.keys()}
        return arrays, dict(file.metadata() or {})


def read_texts(path: Path) -> dict[str, str]:
    """The texts alone, without reading the arrays; raises what `read` does."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


def _opened(path: Path) -> Any:
    import safetensors

    if not path.is_file():
        raise UserError(f"{path} is not there.")
    try:
        return safetensors.safe_open(path, framework="numpy")
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{path} is no safetensors file, or damaged ({error})."
        ) from error


def _array(path: Path, file: Any, name: str) -> np.ndarray:
    try:
        return file.get_tensor(name)
    # What numpy has no type for is a TypeError here, and an AttributeError there.
    except (TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{path}: {name} cannot be read ({error}): store it as float32."
        ) from error


def write(path: Path, arrays: Mapping[str, np.ndarray], texts: dict[str, str]) -> None:
    """Writes the whole file or nothing."""
    from safetensors.numpy import save_file

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with atomic_files.replacing(path) as partial:
        save_file(whole, partial, metadata=texts)
