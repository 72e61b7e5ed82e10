"""A video file whose failing reads are remembered, since FFmpeg forgets them.

FFmpeg may take a read that failed for damage ("invalid data found") or for the end of the file, and goes on. So files
are read for it here; what went wrong is held against what it says, as with objects (:mod:`.remote`).
"""

from __future__ import annotations

import errno
import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_here = threading.local()  # .path, .error: of the file that this thread has opened last, and its first failed read


class WatchedFile(io.FileIO):
    """A file to read, whose ``name`` is its absolute path; a read that fails looks like the end of the file."""

    def __init__(self, path: Path) -> None:
        absolute = path.absolute()
        if getattr(_here, "path", None) != absolute:  # opened again it remembers: a container is opened several times
            _here.path, _here.error = absolute, None
        self._path = absolute
        super().__init__(str(absolute), "rb")

    def read(self, size: int | None = -1) -> bytes:
        """Up to ``size`` bytes."""
        try:
            return super().read(size) or b""
        except OSError as error:
            self._note(error)
            return b""

    def readinto(self, buffer: WriteableBuffer) -> int:
        """As files have it."""
        try:
            return super().readinto(buffer) or 0
        except OSError as error:
            self._note(error)
            return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go somewhere; before the beginning, which FFmpeg asks for in damaged files, as the system answers."""
        try:
            return super().seek(offset, whence)
        except OSError as error:
            return -(error.errno or errno.EINVAL)

    def _note(self, error: OSError) -> None:
        if _here.path == self._path and _here.error is None:
            _here.error = error


def begin_watch(path: Path) -> None:
    """Forget what this thread's reads of the file had failed with: it is read anew."""
    _here.path, _here.error = path.absolute(), None


def failed_read(path: Path) -> OSError | None:
    """The error of the first read of the file that failed in this thread since :func:`begin_watch`, if one has."""
    return _here.error if getattr(_here, "path", None) == path.absolute() else None
