"""The arrays of an HDF5 or .npz file, by name, of which some rows at a time are read.

``numpy.load`` would take an array of an .npz file into memory whole, so its bytes are read here, as a stream.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.errors import FeaturesError


class Table(Protocol):
    """An array of which rows can be had."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Some consecutive rows."""


@contextmanager
def open_arrays(path: Path) -> Iterator[dict[str, Table]]:
    """The arrays of a file, to be read within the block.

    Raises:
        FeaturesError: if it is no such file, or holds arrays that cannot be read in rows.
    """
    if path.suffix.lower() == ".npz":
        with _open(path, zipfile.ZipFile) as archive, ExitStack() as members:  # an open member keeps the file open
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            yield {name.removesuffix(".npy"): ZippedTable(path, archive, name, members) for name in names}
    else:
        import h5py

        with _open(path, h5py.File) as file:
            yield {name: Hdf5Table(path, item) for name, item in file.items() if isinstance(item, h5py.Dataset)}


class Hdf5Table:
    """A dataset of an HDF5 file."""

    def __init__(self, path: Path, dataset: Any) -> None:
        self._path, self._dataset = path, dataset
        self.shape: tuple[int, ...] = dataset.shape or ()
        self.dtype: np.dtype[Any] = dataset.dtype

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        try:
            return np.asarray(self._dataset[rows])
        except (OSError, ValueError, RuntimeError) as error:
            raise _unreadable(self._path, error) from error


class ZippedTable:
    """An array of an .npz file. Going back costs reading from its beginning, where it is compressed."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, member: str, members: ExitStack) -> None:
        self._path = path
        try:
            self._handle = members.enter_context(archive.open(member))
            self.shape, by_column, self.dtype = read_header(self._handle)
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            raise _unreadable(path, error) from error
        self._begin = self._handle.tell()
        name = member.removesuffix(".npy")
        if self.dtype.hasobject:
            raise FeaturesError(f"'{path}': {name} holds Python objects: save it as an array of numbers or of texts")
        if by_column:
            raise FeaturesError(
                f"'{path}': {name} is stored column by column, so that rows of it cannot be read: "
                f"save np.ascontiguousarray({name})"
            )

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        first, last, _ = rows.indices(self.shape[0])
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        try:
            self._handle.seek(self._begin + first * row_bytes)
            content = self._handle.read((last - first) * row_bytes)
            return np.frombuffer(content, self.dtype).reshape(last - first, *self.shape[1:])
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _unreadable(self._path, error) from error


def read_header(handle: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is stored column by column, and element type of the .npy that begins here.

    Raises:
        ValueError: if it is none.
    """
    version = np.lib.format.read_magic(handle)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"its .npy format {version} is none of plain arrays")
    if version == (1, 0):
        found = np.lib.format.read_array_header_1_0(handle)
    else:
        found = np.lib.format.read_array_header_2_0(handle)
    shape, by_column, dtype = found
    return shape, by_column, dtype


def _open(path: Path, kind: Any) -> Any:
    try:
        return kind(path, "r")
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> FeaturesError:
    return FeaturesError(f"'{path}' cannot be read ({error}): is it whole, and of the kind that its name says?")
