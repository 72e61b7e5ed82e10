"""One run per work folder at a time. The kernel frees the lock when the process ends, however it ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ..data.errors import ReadOnlyError, WorkspaceError
from .positioned import read_at, write_at

FAR = 1 << 30  # the byte that Windows locks: others may read the text before it


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``.

    Raises:
        WorkspaceError: at once, if another process holds it.
        ReadOnlyError: if the folder cannot be written to.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ReadOnlyError(
            f"the work folder '{path.parent}' cannot be written to: {error.strerror}; copy it to where it can, and "
            "give the copy with -w"
        ) from error
    try:
        try:
            _take(handle)
        except BlockingIOError as error:
            holder = read_at(handle, 200, 0).decode(errors="replace").strip() or "another process"
            raise WorkspaceError(
                f"another run is at work in '{path.parent}' ({holder}): wait for it, or stop it first"
            ) from error
        os.ftruncate(handle, 0)
        write_at(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> None:
    """Lock the file, or say that another process has.

    Raises:
        BlockingIOError: if so.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        _take_byte(handle)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _take_byte(handle: int) -> None:
    """The same on Windows, where a part of a file is locked, from where the file stands."""
    msvcrt: Any = import_module("msvcrt")
    os.lseek(handle, FAR, os.SEEK_SET)
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        raise BlockingIOError(error.errno, "another process holds it") from error
