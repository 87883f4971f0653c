"""PyTorch files (.pth): a dictionary of tensors, read with weights_only=True."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files

_NESTED = ("state_dict", "model")  # where training checkpoints keep the weights


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads the tensors of a file by their names, and no texts; bfloat16 becomes
    float32.

    Raises:
        UserError: torch is not installed, the file is damaged, or it holds more than
            tensors.
    """
    torch = import_torch(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything on damaged files
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{path} is not a file of tensors, or is damaged: torch.load("
            f"weights_only=True) says: {reason[0]}"
        ) from error
    for name in _NESTED:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}, not a state_dict.")
    return {
        str(name).removeprefix("module."): _array(torch, path, name, tensor)
        for name, tensor in state.items()  # DataParallel adds the prefix
    }, {}


def import_torch(path: Path) -> Any:
    """The package torch, for the file `path`; UserError if it is not installed."""
    try:
        import torch  # pyright: ignore[reportMissingImports]  # optional
    except ImportError as error:
        raise UserError(
            f"{path}: PyTorch files need torch (pip install torch). Or use a "
            ".safetensors file, which does not."
        ) from error
    return torch


def _array(torch: Any, path: Path, name: Any, tensor: Any) -> np.ndarray:
    if not isinstance(tensor, torch.Tensor):
        raise UserError(f"{path}: {name} is a {type(tensor).__name__}, not a tensor.")
    if tensor.is_sparse or tensor.is_quantized or tensor.is_complex():
        raise UserError(f"{path}: {name} is not a dense tensor of real numbers.")
    if tensor.dtype == torch.bfloat16:  # NumPy has no such type
        tensor = tensor.to(torch.float32)
    return tensor.detach().contiguous().numpy()


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the file atomically."""
    torch = import_torch(path)
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    with atomic_files.replacing(path) as partial:
        torch.save(tensors, partial)
