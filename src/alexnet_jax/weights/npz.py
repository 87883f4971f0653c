"""Numpy archives: ours, with all of a network, and Caffe's weights as people keep them.

Ours has the arrays of a weights file and its text, as an array "alexnet_jax". Caffe's
has "conv1_w" and "conv1_b", "conv1/weights" and "conv1/biases", or the like. Pickles,
which can run programs, are never loaded.
"""

import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files
from alexnet_jax.weights import network_file
from alexnet_jax.weights.network import Network
from alexnet_jax.weights.network_file import TEXT

_LARGEST = 2**31  # bytes of all arrays; AlexNet in float64 has a quarter of it
_NAME = re.compile(
    r"(conv[1-5]|fc[678])[-_./]?(?:(w|weights?|kernels?|0)|(b|bias|biases|1))",
    re.IGNORECASE,
)
_FROM_PICKLE = (
    "import sys, numpy as np; "
    "d = np.load(sys.argv[1], allow_pickle=True, encoding='latin1').item(); "
    "pairs = lambda v: v.items() if isinstance(v, dict) else zip('wb', v); "
    "np.savez(sys.argv[2], **{(k + '_' + n).rstrip('_'): a for k, v in d.items() for "
    "n, a in (pairs(v) if isinstance(v, (dict, list, tuple)) else [('', v)])})"
)


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an archive by their names.

    Raises:
        UserError: it is none, damaged, holds pickles or far more than a network.
    """
    try:
        with path.open("rb") as file:
            whole = np.load(file, allow_pickle=False)
            if not isinstance(whole, np.lib.npyio.NpzFile):
                raise UserError(f"{path} holds one array and no names: give an .npz.")
            _check_size(path, whole.zip)
            return {name: whole[name] for name in whole.files}
    except (ValueError, EOFError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(_reason(path, error)) from error
    except (
        OSError,
        KeyError,
        MemoryError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UserError(f"{path} is no numpy archive, or damaged ({error}).") from error


def _reason(path: Path, error: Exception) -> str:
    # Numpy takes everything that it does not know for a pickle.
    with path.open("rb") as file:
        known = file.read(6).startswith((b"\x80", b"\x93NUMPY", b"PK"))
    if "pickle" not in str(error).lower() or not known:
        return f"{path} is no numpy archive, or damaged ({error})."
    return (
        f"{path} holds a pickle, which could run programs: it is not loaded. If you "
        "trust its maker, make an archive of it:\n"
        f'  python -c "{_FROM_PICKLE}" {path} {path.with_suffix(".npz").name}'
    )


def _check_size(path: Path, archive: zipfile.ZipFile | None) -> None:
    size = sum(one.file_size for one in archive.infolist()) if archive else 0
    if size > _LARGEST:
        raise UserError(
            f"{path} would need {size / 2**30:.3g} GiB of memory: that is no AlexNet."
        )


def of_caffe(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of Caffe by "conv1.weight", "conv1.bias" and so on.

    Raises:
        UserError: a name is of no known style, or means the same as another.
    """
    found = {}
    for name, array in arrays.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise UserError(
                f"{path} has an array {name!r}: the names should be conv1_w and "
                "conv1_b, or conv1/weights and conv1/biases, to fc8."
            )
        ours = f"{match[1].lower()}.{'weight' if match[2] else 'bias'}"
        if ours in found:
            raise UserError(f"{path} has {ours} twice, once as {name!r}.")
        found[ours] = array
    return found


def is_ours(arrays: dict[str, np.ndarray]) -> bool:
    """Whether `write` wrote them."""
    return TEXT in arrays


def to_weights(path: Path, arrays: dict[str, np.ndarray]) -> Network:
    """The network of an archive of ours; raises UserError if it is damaged."""
    loose = dict(arrays)
    return network_file.from_arrays(path, loose, str(loose.pop(TEXT)))


def write(path: Path, found: Network) -> None:
    """Writes the whole file or nothing."""
    arrays, text = network_file.to_arrays(found)
    with atomic_files.replacing(path) as partial:
        np.savez(partial, **arrays, **{TEXT: np.array(text)})  # type: ignore[arg-type]
