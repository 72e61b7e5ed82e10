"""Storage that is lost: errors that say nothing of what a file holds, only that it cannot be reached just now.

A network disk that went away must make no damaged file of a sound one, and no missing one of one that is there. Whoever
takes an error of reading for damage asks here first.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .remote_path import RemotePath

_NAMES = (
    "EIO ESTALE ENODEV ENXIO ENOTCONN ENOLINK EREMOTEIO ETIMEDOUT ECONNABORTED ECONNREFUSED ECONNRESET EHOSTDOWN "
    "EHOSTUNREACH ENETDOWN ENETRESET ENETUNREACH ESHUTDOWN"
)
LOST = frozenset(getattr(errno, name) for name in _NAMES.split() if hasattr(errno, name))
# HDF5 and safetensors say the number within a text, and raise whatever their layer has: a KeyError, a RuntimeError.
_SAID = re.compile(r"\berrno = (\d+)|\bos error (\d+)")


def said_number(error: BaseException) -> int | None:
    """The number of the system's error behind an error of a library, if it tells one."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    if said := _SAID.search(text):
        return int(said[1] or said[2])
    if isinstance(error, RuntimeError):  # faiss says the words alone
        return next((number for number in (*LOST, errno.ENOSPC) if os.strerror(number) in text), None)
    return None


def is_lost(error: BaseException) -> bool:
    """Whether an error is of the storage, and not of the file."""
    return said_number(error) in LOST


def is_out_of_reach(path: Path, error: BaseException) -> bool:
    """Whether an error of reading says nothing of the file: the storage is lost, or nothing is there any more.

    A link that leads nowhere is there.
    """
    gone = isinstance(error, OSError) and error.errno == errno.ENOENT
    return is_lost(error) or (gone and (isinstance(path, RemotePath) or not os.path.lexists(path)))


def refuse_lost(error: BaseException, path: Path) -> None:
    """Raise what the system said if it is the storage that failed, so that nobody takes it for damage of ``path``.

    Raises:
        OSError: naming the file.
    """
    if is_lost(error):
        number = said_number(error)
        assert number is not None
        raise OSError(number, os.strerror(number), str(path)) from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """A block that has a library write ``path``: what the system refused comes as an OSError that names the file.

    Raises:
        OSError: if so.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        number = said_number(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
