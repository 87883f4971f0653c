"""safetensors files: named arrays and text metadata, without pickles."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads all arrays and all texts of a file.

    Raises:
        UserError: the file is missing, damaged, or of another format.
    """
    with _opened(path) as file:
        arrays = {name: _array(path, file, name) for name in file.keys()}
        return arrays, dict(file.metadata() or {})


def read_texts(path: Path) -> dict[str, str]:
    """Reads the texts without the arrays; raises what `read` raises."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


def read_names(path: Path) -> list[str]:
    """Reads the names of the arrays alone; raises what `read` raises."""
    with _opened(path) as file:
        return list(file.keys())


def _opened(path: Path) -> Any:
    import safetensors

    if not path.is_file():
        raise UserError(f"{path} does not exist.")
    try:
        return safetensors.safe_open(path, framework="numpy")
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{path} is not a safetensors file, or is damaged ({error})."
        ) from error


def _array(path: Path, file: Any, name: str) -> np.ndarray:
    try:
        return file.get_tensor(name)
    # For a type that NumPy lacks, safetensors raises TypeError or AttributeError.
    except (TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{path}: {name} cannot be read ({error}): store it as float32."
        ) from error


def write(path: Path, arrays: Mapping[str, np.ndarray], texts: dict[str, str]) -> None:
    """Writes the file atomically."""
    from safetensors.numpy import save  # save_file hides its file from other users

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    atomic_files.write_bytes(path, save(contiguous, metadata=texts))
