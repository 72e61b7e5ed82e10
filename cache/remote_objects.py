"""Objects fetched as files: in pieces, so that what was cut off goes on where it was, and each against its digest."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from ..data.errors import StoreError
from ..data.remote import ask_patiently, filesystem
from ..data.remote_path import RemotePath
from ..data.types import FileState
from .atomic import sync
from .fingerprint import file_sha256

PIECE_BYTES = 32 << 20  # of a request


def temporary(path: Path, size: int) -> Path:
    """Where a file of that size lies until it is whole: the same for whoever goes on with it."""
    return path.with_name(f".{path.name}.{size}.tmp")


def fetch(
    at: RemotePath,
    path: Path,
    state: FileState,
    *,
    tick: Callable[[], None] = lambda: None,
    arriving: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Fetch an object, which takes its name once its digest is known to be right.

    Args:
        at: the object.
        path: what it is to be called; one at a time may fetch it.
        state: its size, the time of change that it is given, and its digest.
        tick: called after every piece.
        arriving: a block in which it takes its name.

    Raises:
        StoreError: if it is not what was pushed.
        OSError: if it cannot be read; what was read is kept, and gone on with.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(path, state.size)
    resumed = part.exists()
    _go_on(at, part, state.size, tick)
    if file_sha256(part) != state.sha256:
        part.unlink()
        if resumed:  # what was there may have been of another object
            return fetch(at, path, state, tick=tick, arriving=arriving)
        raise StoreError(f"'{at}' is not what was pushed as '{path.name}': push it again with --force")
    os.utime(part, ns=(state.mtime_ns, state.mtime_ns))
    sync(part)
    with arriving():
        part.replace(path)
    sync(path.parent)
    return None


def _go_on(at: RemotePath, part: Path, size: int, tick: Callable[[], None]) -> None:
    store = filesystem(at)
    with part.open("ab") as file:
        while (begin := file.tell()) < size:
            end = min(begin + PIECE_BYTES, size)
            file.write(ask_patiently(at, partial(_piece, store, at.key, begin, end)))
            tick()


def _piece(store: Any, key: str, begin: int, end: int) -> bytes:
    piece: bytes = store.cat_file(key, start=begin, end=end)
    if len(piece) != end - begin:
        raise EOFError(f"{len(piece):,} bytes came of the {end - begin:,} from {begin:,} on")
    return piece
