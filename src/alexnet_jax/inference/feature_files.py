"""Files of features: written batch by batch, read without loading the whole.

An .npz file (numpy, not compressed) or an .h5 file (HDF5, by h5py) holds one float32
array `[images, ...]` for each layer, under the name that was asked for, and beside them
"key" (file names or keys of the dataset), "label" (int32, -1: none), "class_names" and
"stages" (what each layer's name means). Each is written as a whole or not at all.
"""

import os
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
_LOCAL_HEADER = 30  # bytes of a zip file before a member's name


def check_output(path: Path) -> None:
    """Raises UserError unless a file of that name can be written."""
    if path.suffix not in (".npz", ".h5"):
        raise UserError(f"--output {path}: the name must end in .npz or .h5.")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"--output {path}: there is no folder for it.")
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
    """Arrays that grow in a file each until the .npz is put together of them."""

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
    """Datasets that grow in an HDF5 file, which has its name only once it is whole."""

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
    """A writer of the form that the name ends in; close it in any case."""
    return Hdf5Writer(path) if path.suffix == ".h5" else NpzWriter(path)


def read(path: Path) -> dict[str, Any]:
    """The arrays of a file of features by their names.

    Layers stay on the disk until they are indexed, so the file may be larger than
    memory.

    Raises:
        UserError: the file is not there, or is no file of features.
    """
    try:
        found = _read_hdf5(path) if path.suffix == ".h5" else _read_npz(path)
        for name in ("key", "class_names", "stages"):
            found[name] = np.asarray(found[name][:], str)
        found["label"] = np.asarray(found["label"][:])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no file of features ({error}).") from error
    return found


def layers_of(found: Mapping[str, Any]) -> list[str]:
    """The names of the layers in a file of features."""
    return [name for name in found if name not in BESIDE]


def _read_hdf5(path: Path) -> dict[str, Any]:
    file = _h5py().File(path, "r")
    return {
        name: one.asstr() if name in ("key", "class_names", "stages") else one
        for name, one in file.items()
    }


def _read_npz(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return {
            member.filename.removesuffix(".npy"): _mapped(path, archive, member)
            for member in archive.infolist()
        }


def _mapped(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    """A member as an array on the disk: it is not compressed."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError("it is compressed")
    with archive.open(member) as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        within = file.tell()
    if 0 in shape:
        return np.empty(shape, dtype)  # nothing can't be mapped
    with path.open("rb") as raw:
        raw.seek(member.header_offset + _LOCAL_HEADER - 4)
        name, extra = struct.unpack("<HH", raw.read(4))
    start = member.header_offset + _LOCAL_HEADER + name + extra + within
    return np.memmap(path, dtype, "r", offset=start, shape=shape)


def names(values: Sequence[str] | None) -> np.ndarray:
    """Text as an array that both forms hold."""
    return np.array(list(values or []), dtype=str)
