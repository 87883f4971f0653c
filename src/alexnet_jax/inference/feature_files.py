"""Feature files: written batch by batch, read without loading the whole file.

An .npz file (NumPy, uncompressed) or an .h5 file (HDF5, by h5py) holds one float32
array `[images, ...]` per layer, under the requested name, and beside them "key" (file
names or keys of the dataset), "label" (int32; -1 means none), "class_names" and
"stages" (the stage of each layer, in order). Files are written atomically.
"""

import shutil
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.errors import UserError
from alexnet_jax.system import atomic_files

BESIDE = ("key", "label", "class_names", "stages")
_LOCAL_HEADER = 30  # bytes in a zip file before a member's name


def check_output(path: Path) -> None:
    """Raises UserError unless the file can be written."""
    if path.suffix not in (".npz", ".h5"):
        raise UserError(f"--output {path}: the name must end in .npz or .h5.")
    atomic_files.check_writable(path, "--output")
    if path.suffix == ".h5":
        _h5py()


def _h5py() -> Any:
    try:
        import h5py  # optional
    except ImportError as error:
        raise UserError(
            "files ending in .h5 need h5py: pip install h5py, or write an .npz file."
        ) from error
    return h5py


class NpzWriter:
    """Appends each layer to a file of its own, then joins them into the .npz."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.with_name(f".{path.name}.partial")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._shapes: dict[str, tuple[int, ...]] = {}

    def append(self, layers: Mapping[str, np.ndarray]) -> None:
        """Adds the rows of a batch, float32."""
        for name, rows in layers.items():
            count, *rest = self._shapes.get(name, (0, *rows.shape[1:]))
            with (self._folder / name).open("ab") as file:
                file.write(np.ascontiguousarray(rows, "<f4").data)
            self._shapes[name] = (count + len(rows), *rest)

    def finish(self, beside: Mapping[str, np.ndarray]) -> None:
        """Writes the file, with small arrays beside the layers."""
        whole = self._folder / "whole"
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
            for name, shape in self._shapes.items():
                self._add(archive, name, shape)
            for name, array in beside.items():
                with archive.open(f"{name}.npy", "w") as out:
                    np.lib.format.write_array(out, array, allow_pickle=False)
        atomic_files.put(whole, self._path)

    def _add(self, archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
            np.lib.format.write_array_header_1_0(out, header)
            with (self._folder / name).open("rb") as part:
                shutil.copyfileobj(part, out, 2**20)
        (self._folder / name).unlink()

    def close(self) -> None:
        """Leaves nothing half-written."""
        shutil.rmtree(self._folder, ignore_errors=True)


class Hdf5Writer:
    """Grows datasets in a temporary HDF5 file, renamed once it is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._file = _h5py().File(self._partial, "w", track_order=True)

    def append(self, layers: Mapping[str, np.ndarray]) -> None:
        """Adds the rows of a batch, float32."""
        for name, rows in layers.items():
            if name not in self._file:
                shape = rows.shape[1:]
                self._file.create_dataset(
                    name, (0, *shape), "f4", maxshape=(None, *shape), chunks=(1, *shape)
                )
            dataset = self._file[name]
            dataset.resize(len(dataset) + len(rows), axis=0)
            dataset[len(dataset) - len(rows) :] = rows

    def finish(self, beside: Mapping[str, np.ndarray]) -> None:
        """Writes the file, with small arrays beside the layers."""
        for name, array in beside.items():
            text = array.dtype.kind == "U"
            self._file[name] = array.astype("T") if text else array
        self._file.close()
        atomic_files.put(self._partial, self._path)

    def close(self) -> None:
        """Leaves nothing half-written."""
        self._file.close()
        self._partial.unlink(missing_ok=True)


def open_writer(path: Path) -> NpzWriter | Hdf5Writer:
    """A writer for the format of the suffix; always close it."""
    return Hdf5Writer(path) if path.suffix == ".h5" else NpzWriter(path)


def read(path: Path) -> dict[str, Any]:
    """Reads the arrays of a feature file by their names.

    Layers stay on disk until they are indexed, so the file may be larger than memory.

    Raises:
        UserError: the file is missing, or is not a feature file.
    """
    try:
        arrays = _read_hdf5(path) if path.suffix == ".h5" else _read_npz(path)
        for name in ("key", "class_names", "stages"):
            arrays[name] = np.asarray(arrays[name][:], str)
        arrays["label"] = np.asarray(arrays["label"][:])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a feature file ({error}).") from error
    return arrays


def layers_of(arrays: Mapping[str, Any]) -> list[str]:
    """The names of the layers in a feature file."""
    return [name for name in arrays if name not in BESIDE]


def _read_hdf5(path: Path) -> dict[str, Any]:
    file = _h5py().File(path, "r")
    return {
        name: dataset.asstr() if name in ("key", "class_names", "stages") else dataset
        for name, dataset in file.items()
    }


def _read_npz(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return {
            member.filename.removesuffix(".npy"): _mapped(path, archive, member)
            for member in archive.infolist()
        }


def _mapped(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    """Memory-maps a member, which must be uncompressed."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError("it is compressed")
    with archive.open(member) as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        within = file.tell()
    if 0 in shape:
        return np.empty(shape, dtype)  # zero bytes cannot be mapped
    with path.open("rb") as raw:
        # The local header has its own lengths of name and extra field, which may
        # differ from those of the central directory.
        raw.seek(member.header_offset + _LOCAL_HEADER - 4)
        name, extra = struct.unpack("<HH", raw.read(4))
    start = member.header_offset + _LOCAL_HEADER + name + extra + within
    return np.memmap(path, dtype, "r", offset=start, shape=shape)


def names(values: Sequence[str] | None) -> np.ndarray:
    """Texts as an array that both formats can hold."""
    return np.array(list(values or []), dtype=str)
