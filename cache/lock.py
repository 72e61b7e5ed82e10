"""One run per work folder at a time. The kernel frees the lock when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..data.errors import ReadOnlyError, WorkspaceError


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
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 200).decode(errors="replace").strip() or "another process"
            raise WorkspaceError(
                f"another run is at work in '{path.parent}' ({holder}): wait for it, or stop it first"
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
