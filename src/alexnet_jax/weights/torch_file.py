"""Files of PyTorch (.pth): a dictionary of tensors. Only what torch calls safe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files

_NESTED = ("state_dict", "model")  # where checkpoints of training keep the weights


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file by their names, as float32 where they are narrower.

    Raises:
        UserError: torch is not installed, the file is damaged, or it holds more than
            tensors.
    """
    torch = _torch(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make torch raise nearly anything
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{path} is no file of tensors, or damaged: torch.load(weights_only=True) "
            f"says: {reason[0]}"
        ) from error
    for name in _NESTED:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}, no state_dict.")
    return {_name(name): _array(torch, path, name, one) for name, one in state.items()}


def _torch(path: Path) -> Any:
    try:
        import torch  # pyright: ignore[reportMissingImports]  # optional
    except ImportError as error:
        raise UserError(
            f"{path}: files of PyTorch need torch (pip install torch). Or use a "
            ".safetensors file, which needs nothing."
        ) from error
    return torch


def check_installed(path: Path) -> None:
    """Raises UserError where there is no torch."""
    _torch(path)


def _name(name: Any) -> str:
    return str(name).removeprefix("module.")  # of DataParallel


def _array(torch: Any, path: Path, name: Any, tensor: Any) -> np.ndarray:
    if not isinstance(tensor, torch.Tensor):
        raise UserError(f"{path}: {name} is a {type(tensor).__name__}, no tensor.")
    if tensor.is_sparse or tensor.is_quantized or tensor.is_complex():
        raise UserError(f"{path}: {name} is no plain tensor of numbers.")
    if tensor.dtype == torch.bfloat16:  # numpy has no such type
        tensor = tensor.to(torch.float32)
    return tensor.detach().contiguous().numpy()


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the whole file or nothing."""
    torch = _torch(path)
    tensors = {name: torch.from_numpy(one.copy()) for name, one in arrays.items()}
    with atomic_files.replacing(path) as partial:
        torch.save(tensors, partial)
