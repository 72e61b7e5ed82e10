"""Files that are either whole or not there.

Written under a temporary name, fsynced, renamed, and the folder fsynced, so that neither a kill nor a power
cut leaves a file that lies. Temporary names start with a dot and end in ``.tmp``; readers pass them over.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..data.storage import naming
from .hold import make_folder, refuse_lost_folder


@contextmanager
def published(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; at the end of the block it takes the place of ``path``.

    Raises:
        StageError: if it is in a folder that this run had to itself, and has no longer.
    """
    make_folder(path.parent)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        with naming(path):
            yield temporary
            sync(temporary)
        refuse_lost_folder(path)
        temporary.replace(path)
        sync(path.parent)
    finally:
        with suppress(OSError):  # a disk that is lost; the next run removes what is left
            temporary.unlink(missing_ok=True)


def meant_by(path: Path) -> Path:
    """The file that a temporary one is to become; any other path as it is."""
    written = re.fullmatch(r"\.(.+)\.\d+\.tmp", path.name)
    return path.with_name(written[1]) if written else path


def write_bytes(path: Path, content: bytes) -> None:
    """Publish ``content`` as ``path``."""
    with published(path) as temporary:
        temporary.write_bytes(content)


def create(path: Path, content: bytes) -> bool:
    """Publish ``content`` as ``path`` unless there is one; of several that try at once, on any machines, one succeeds.

    Returns:
        Whether it was this one. The file is whole either way.

    Raises:
        StageError: if it is in a folder that this run had to itself, and has no longer.
    """
    make_folder(path.parent)
    temporary = path.parent / f".{path.name}.{os.getpid()}{secrets.randbelow(10**9):09d}.tmp"
    try:
        temporary.write_bytes(content)
        sync(temporary)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # no hard links here (exFAT, SMB): as good as can be
            if path.exists():
                return False
            temporary.replace(path)
        sync(path.parent)
        return True
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Publish ``value`` as indented JSON. NaN and infinity are refused: they are no JSON."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """``value`` as :func:`write_json` writes it."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def sync(path: Path) -> None:
    """Make sure that what was written to a file, or which names a folder holds, survives a power cut."""
    if os.name == "nt":  # which syncs only what is open for writing, and no folders
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())
        return
    with naming(path):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_room(path: Path, size: int) -> None:
    """Find out whether a file of ``size`` bytes can be written as ``path``; it is left empty or reserved.

    Raises:
        OSError: if the disk, or the user's part of it, is too full.
    """
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    with path.open("wb") as handle:
        try:
            os.posix_fallocate(handle.fileno(), 0, size)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path.parent)) from error


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed run left in ``folder``. Call it only while holding the lock."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def remove_leftovers_below(folder: Path, depth: int) -> None:
    """The same in a folder and in those below it, down to ``depth`` further ones; nothing is done where it is not."""
    if not folder.is_dir():
        return
    remove_leftovers(folder)
    if depth:
        with os.scandir(folder) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        for path in below:
            remove_leftovers_below(Path(path), depth - 1)
