"""The arrays of an HDF5 or .npz file, by name, of which some rows at a time are read.

``numpy.load`` would take an array of an .npz file into memory whole, so its bytes are read here, as a stream.
"""

from __future__ import annotations

import weakref
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ...data.errors import FeaturesError
from .arrays import Table, unreadable
from .options import shown

# What reading a file that is damaged ends in.
DAMAGE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@contextmanager
def open_arrays(path: Path) -> Iterator[Mapping[str, Table]]:
    """The arrays of a file, to be read within the block; each is opened when it is asked for.

    Raises:
        FeaturesError: if it is no such file, or holds arrays that cannot be read in rows.
    """
    if path.suffix.lower() == ".npz":
        with _open(path, zipfile.ZipFile) as archive:
            arrays = ZippedArrays(path, archive)
            try:
                yield arrays
            finally:
                arrays.close()
    else:
        import h5py

        from .hdf5_arrays import Hdf5Arrays

        with _open(path, h5py.File) as file:
            yield Hdf5Arrays(path, file)


class ZippedArrays(Mapping[str, Table]):
    """The arrays of an .npz file."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        names = (name for name in archive.namelist() if name.endswith(".npy"))
        self._names = dict.fromkeys(name.removesuffix(".npy") for name in names)
        self._open: weakref.WeakSet[IO[bytes]] = weakref.WeakSet()

    def __getitem__(self, name: str) -> ZippedTable:
        if name not in self._names:
            raise KeyError(name)
        try:
            handle = self._archive.open(name + ".npy")
        except DAMAGE as error:
            raise unreadable(self._path, error) from error
        self._open.add(handle)
        return ZippedTable(self._path, name, handle)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def close(self) -> None:
        """Nothing can be read any more: an open member keeps the file open."""
        for handle in list(self._open):
            handle.close()


class ZippedTable:
    """An array of an .npz file. Going back costs reading from its beginning, where it is compressed."""

    def __init__(self, path: Path, name: str, handle: IO[bytes]) -> None:
        self._path, self._name, self._handle = path, name, handle
        try:
            self.shape, self.by_column, self.dtype = read_header(handle)
        except DAMAGE as error:
            raise unreadable(path, error) from error
        self._begin = handle.tell()

    def in_rows(self) -> ZippedTable:
        """Itself.

        Raises:
            FeaturesError: if rows of it cannot be read.
        """
        if self.dtype.hasobject:
            raise FeaturesError(
                f"'{self._path}': {shown(self._name)} holds Python objects: save it as an array of numbers or of texts"
            )
        if self.by_column:
            raise FeaturesError(
                f"'{self._path}': {shown(self._name)} is stored column by column, so that rows of it cannot be read: "
                f"save np.ascontiguousarray({shown(self._name)})"
            )
        return self

    def whole(self) -> NDArray[Any]:
        """All of it, in memory, in whichever order it is stored."""
        order = self.shape[::-1] if self.by_column else self.shape
        found = np.frombuffer(self._read(0, int(np.prod(self.shape)) * self.dtype.itemsize), self.dtype)
        return found.reshape(order).T if self.by_column else found.reshape(order)

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        first, last, _ = rows.indices(self.shape[0])
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        content = self._read(first * row_bytes, (last - first) * row_bytes)
        return np.frombuffer(content, self.dtype).reshape(last - first, *self.shape[1:])

    def _read(self, first: int, count: int) -> bytes:
        try:
            self._handle.seek(self._begin + first)
            content = self._handle.read(count)
            if len(content) < count:
                raise EOFError(f"{shown(self._name)} ends before its shape says")
        except DAMAGE as error:
            raise unreadable(self._path, error) from error
        return content


def selectable(table: Table, *, by_rows: bool) -> Table:
    """The array as one of which whatever is wanted can be read; of an .npz that may take all of it into memory."""
    if isinstance(table, ZippedTable) and (table.by_column or not by_rows):
        return table.whole()
    return table


def read_header(handle: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is stored column by column, and element type of the .npy that begins here.

    Raises:
        ValueError: if it is none.
    """
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(handle)
    if version not in readers:
        raise ValueError(f"its .npy format {version} is none of plain arrays")
    return readers[version](handle)


def _open(path: Path, kind: Any) -> Any:
    try:
        return kind(path, "r")
    except (OSError, zipfile.BadZipFile) as error:
        raise unreadable(path, error) from error
