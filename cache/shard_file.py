"""A file that HDF5 writes without ever being told that it cannot: what went wrong is raised beside it.

Where a write fails, HDF5 crashes, or prints a trace, once it closes what it could not write (HDF5 2.0, h5py 3.16): a
lost or a full disk is enough. So it writes into an object of Python, which keeps the first error, and takes the rest
for written.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class Forgiving(io.RawIOBase):
    """A file to write and read, at whose end stands whether all of it was written.

    Attributes:
        error: the first error of writing or reading; nothing is written after it.
    """

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self._path = path
        self._file = path.open("w+b", buffering=0)

    def refuse(self) -> None:
        """Refuse to go on if anything has failed.

        Raises:
            OSError: naming the file.
        """
        if self.error is not None:
            raise OSError(self.error.errno, self.error.strerror, str(self._path)) from self.error

    def readable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go somewhere."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Bytes from the start."""
        return self._file.tell()

    def readinto(self, buffer: WriteableBuffer) -> int:
        """As files have it; zeros where reading fails."""
        view = memoryview(buffer).cast("B")
        try:
            return self._file.readinto(view) or 0
        except OSError as error:
            self._note(error)
            view[:] = bytes(len(view))
            return len(view)

    def write(self, content: ReadableBuffer) -> int:
        """Write all of it, or say so."""
        view = memoryview(content).cast("B")
        left = view
        try:
            while left and self.error is None:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            self._note(error)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Give it a size."""
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._note(error)
            return size or 0

    def close(self) -> None:
        """Let it go."""
        try:
            self._file.close()
        except OSError as error:
            self._note(error)
        super().close()

    def _note(self, error: OSError) -> None:
        if self.error is None:
            self.error = error


@contextmanager
def new_shard(path: Path) -> Iterator[tuple[h5py.File, Forgiving]]:
    """A new HDF5 file, and what says whether it could be written so far.

    Raises:
        OSError: if it could not.
    """
    raw = Forgiving(path)
    try:
        try:
            with h5py.File(raw, "w") as file:
                yield file, raw
        except Exception:  # HDF5's, over what could not be written
            raw.refuse()
            raise
    finally:
        raw.close()
    raw.refuse()
