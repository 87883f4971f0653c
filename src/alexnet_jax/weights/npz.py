"""NumPy archives: ours, with a whole network, and the usual ones of Caffe's weights.

Ours has the arrays of a weights file, and its text as an array "alexnet_jax". Caffe's
have "conv1_w" and "conv1_b", "conv1/weights" and "conv1/biases", or the like. Pickles,
which can run code, are never loaded.
"""

import re
import zipfile
from pathlib import Path

import numpy as np

from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files
from alexnet_jax.weights import network_file
from alexnet_jax.weights.network import Network
from alexnet_jax.weights.network_file import TEXT

_MAX_BYTES = 2**31  # of all arrays; AlexNet in float64 needs a quarter of it
_NAME = re.compile(
    r"(conv[1-5]|fc[678])[-_./]?(?:(w|weights?|kernels?|0)|(b|bias|biases|1))",
    re.IGNORECASE,
)
# A program that users run themselves, to convert a pickle that they trust.
_FROM_PICKLE = (
    "import sys, numpy as np; "
    "d = np.load(sys.argv[1], allow_pickle=True, encoding='latin1').item(); "
    "pairs = lambda v: v.items() if isinstance(v, dict) else zip('wb', v); "
    "np.savez(sys.argv[2], **{(k + '_' + n).rstrip('_'): a for k, v in d.items() for "
    "n, a in (pairs(v) if isinstance(v, (dict, list, tuple)) else [('', v)])})"
)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads the arrays of an archive by their names, and the text of ours.

    Raises:
        UserError: the file is not an archive, is damaged, holds pickles, or is far too
            large for AlexNet.
    """
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise UserError(f"{path} holds one array and no names: give an .npz.")
            _check_size(path, archive.zip)
            arrays = {name: archive[name] for name in archive.files}
    except UserError:
        raise
    except Exception as error:  # of numpy, zipfile, zlib and Python's tokenizer
        raise UserError(_reason(path, error)) from error
    return arrays, {TEXT: str(arrays.pop(TEXT))} if TEXT in arrays else {}


def _reason(path: Path, error: Exception) -> str:
    # NumPy takes every file that it does not recognise for a pickle.
    if isinstance(error, ValueError) and "pickle" in str(error).lower():
        with path.open("rb") as file:
            known = file.read(6).startswith((b"\x80", b"\x93NUMPY", b"PK"))
        if known:
            return (
                f"{path} holds a pickle, which could run code: it is not loaded. If "
                "you trust its author, convert it to an archive:\n"
                f'  python -c "{_FROM_PICKLE}" {path} {path.with_suffix(".npz").name}'
            )
    return f"{path} is not a numpy archive, or is damaged ({error})."


def _check_size(path: Path, archive: zipfile.ZipFile | None) -> None:
    size = sum(info.file_size for info in archive.infolist()) if archive else 0
    if size > _MAX_BYTES:
        raise UserError(
            f"{path} would need {size / 2**30:.3g} GiB of memory: that is not AlexNet."
        )


def of_caffe(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames the arrays of Caffe to "conv1.weight", "conv1.bias" and so on.

    Raises:
        UserError: a name is of no known style, or means the same as another.
    """
    renamed = {}
    for name, array in arrays.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise UserError(
                f"{path} has an array {name!r}: the names should be conv1_w and "
                "conv1_b, or conv1/weights and conv1/biases, to fc8."
            )
        ours = f"{match[1].lower()}.{'weight' if match[2] else 'bias'}"
        if ours in renamed:
            raise UserError(f"{path} has {ours} twice, once as {name!r}.")
        renamed[ours] = array
    return renamed


def write(path: Path, network: Network) -> None:
    """Writes the file atomically."""
    arrays, text = network_file.to_arrays(network)
    with atomic_files.replacing(path) as partial:
        np.savez(partial, **arrays, **{TEXT: np.array(text)})  # type: ignore[arg-type]
