"""One run per work folder at a time, or several parts of one. The kernel frees a lock when its process ends.

Where locks do not reach other machines, the mark that each leaves in its lock file (:mod:`.hold`) tells of it.
"""

from __future__ import annotations

import errno
import math
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from ..data.errors import ReadOnlyError, WorkspaceError
from .hold import Hold, held, living
from .positioned import read_at, write_at

NAME = ".mofore.lock"  # of the file in a work folder
FAR = 1 << 30  # the byte that Windows locks: others may read the text before it
SEATS = 1 << 16  # bytes from there on: one for each that shares a lock, all of them for who holds it alone
LOOK_S = 0.05  # a look takes microseconds
AWAIT_S = 0.02  # between two attempts of who waits
UNLOCKABLE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def exclusive(path: Path, busy: str = "") -> Iterator[None]:
    """Hold the lock file ``path`` alone.

    Args:
        path: the file.
        busy: what to say if another process holds it; empty for the usual, which is said of a work folder.

    Raises:
        WorkspaceError: at once, if another process holds it.
        ReadOnlyError: if the folder cannot be written to.
    """
    with _held(path, None, busy or f"another run is at work in '{path.parent}'"):
        yield


@contextmanager
def shared(path: Path, seat: int) -> Iterator[None]:
    """Hold the lock file ``path`` beside others that share it too, each on a seat of its own.

    Raises:
        WorkspaceError: at once, if another process holds it alone.
        ReadOnlyError: if the folder cannot be written to.
    """
    with _held(path, seat % SEATS, f"another run is at work in '{path.parent}'"):
        yield


@contextmanager
def awaited(path: Path, *, alone: bool, patience_s: float = math.inf) -> Iterator[None]:
    """Hold the lock file ``path``, which is made where it is not, alone or beside others; wait until that can be.

    Raises:
        TimeoutError: if it cannot within ``patience_s``, seconds.
        OSError: if the disk has no locks, or cannot be written to.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        give_up = time.monotonic() + patience_s
        while True:
            with suppress(BlockingIOError):
                _take(handle, None if alone else secrets.randbelow(SEATS))
                break
            if time.monotonic() >= give_up:
                raise TimeoutError(errno.ETIMEDOUT, "it is in use", str(path))
            time.sleep(AWAIT_S)
        yield
    finally:
        os.close(handle)


def holder(path: Path) -> str:
    """Who holds the lock file ``path`` alone just now; empty for nobody, or where that cannot be told."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:  # it is not there, or may not be written to
        return ""
    try:
        _take(handle, 0)
    except BlockingIOError:
        return _who(handle)
    except OSError:  # a disk without locks
        return ""
    else:
        return ""
    finally:
        os.close(handle)


@contextmanager
def _held(path: Path, seat: int | None, busy: str) -> Iterator[None]:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ReadOnlyError(
            f"the work folder '{path.parent}' cannot be written to: {error.strerror}; copy it to where it can, and "
            "give the copy with -w"
        ) from error
    try:
        try:
            _take_patiently(handle, seat)
        except BlockingIOError as error:
            raise WorkspaceError(f"{busy} ({_who(handle)}): wait for it, or stop it first") from error
        except OSError as error:
            if error.errno not in UNLOCKABLE:
                raise
            raise WorkspaceError(
                f"the disk of '{path.parent}' has no locks ({error.strerror}), so that two runs could write at once: "
                "mount it with them (Lustre: -o flock), or take a work folder on another disk with -w"
            ) from error
        if who := living(path):
            raise WorkspaceError(
                f"{busy} ({who}), which the locks of its disk did not tell: wait for it, or stop it first"
            )
        hold = Hold(path, handle, alone=seat is None)
        try:
            if seat is None:
                hold.begin()
            else:
                os.ftruncate(handle, 0)
                who = f"process {os.getpid()} on {socket.gethostname()}"
                write_at(handle, f"parts of an extraction, the last of them {who}\n".encode(), 0)
            with held(hold):
                yield
        finally:
            hold.end()
    finally:
        os.close(handle)


def _who(handle: int) -> str:
    """What the holder wrote; of several that share it, the first line is whole."""
    lines = read_at(handle, 200, 0).decode(errors="replace").splitlines()
    return lines[0] if lines else "another process"


def _take_patiently(handle: int, seat: int | None) -> None:
    """As :func:`_take`, and once more a moment later: who only looks (:func:`holder`) has the lock so long."""
    try:
        _take(handle, seat)
    except BlockingIOError:
        time.sleep(LOOK_S)
        _take(handle, seat)


def _take(handle: int, seat: int | None) -> None:
    """Lock the file, beside others if there is a seat, or say that another process has.

    Raises:
        BlockingIOError: if so.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        _take_bytes(handle, seat)
    else:
        fcntl.flock(handle, (fcntl.LOCK_EX if seat is None else fcntl.LOCK_SH) | fcntl.LOCK_NB)


def _take_bytes(handle: int, seat: int | None) -> None:
    """The same on Windows, where a part of a file is locked, from where the file stands, and nothing is shared."""
    msvcrt: Any = import_module("msvcrt")
    os.lseek(handle, FAR + (seat or 0), os.SEEK_SET)
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, SEATS if seat is None else 1)
    except OSError as error:
        raise BlockingIOError(error.errno, "another process holds it") from error
