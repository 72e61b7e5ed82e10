"""What a result depends on, as one short text; and whether a file is still the one that was recorded."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..data.images import folder_of, is_frame_folder, longest_series, read_image, stat_of_folder
from ..data.remote import object_state
from ..data.remote_path import RemotePath
from ..data.storage import naming, refuse_lost
from ..data.types import FileState

CHUNK_BYTES = 4 << 20
KEY_LENGTH = 12  # hex digits of a fingerprint in folder names
TICK_S, COARSE_TICK_S = 0.02, 2.0  # of times of files: kernels tick in up to 10 ms, FAT in 2 s and HFS+ in whole ones
SETTLE_TRIES = 3


def digest(value: Any) -> str:
    """sha256 of canonical JSON: sorted keys, no spaces, ASCII, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def stage_fingerprint(stage: str, version: int, config: Mapping[str, Any], upstream: str) -> str:
    """Fingerprint of a stage's output: its name, version, own settings, and what it reads."""
    return digest({"stage": stage, "version": version, "config": dict(config), "upstream": upstream})


def file_sha256(path: Path, *, tick: Callable[[], None] = lambda: None) -> str:
    """sha256 of a file's content; ``tick`` is called after every chunk.

    Raises:
        OSError: if it cannot be read.
    """
    total = hashlib.sha256()
    with naming(path), path.open("rb") as handle:
        while chunk := handle.read(CHUNK_BYTES):
            total.update(chunk)
            tick()
    return total.hexdigest()


def content_sha256(path: Path, *, tick: Callable[[], None] = lambda: None) -> str:
    """sha256 of a file's content, or of the names and contents of a folder's frame images in their order.

    ``tick`` is called after every chunk. Of an object it is the version, and nothing of it is read.

    Raises:
        OSError: if anything of it cannot be read.
    """
    if isinstance(path, RemotePath):
        return object_state(path).sha256
    if not is_frame_folder(path):
        return file_sha256(path, tick=tick)
    total = hashlib.sha256()
    for name in longest_series(path):
        # Name and content come in lengths of their own, so that no two folders give the same bytes.
        total.update(os.fsencode(name) + b"\0" + hashlib.sha256(read_image(folder_of(path), name)).digest())
        tick()
    return total.hexdigest()


def stat_of(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds, as the catalog sees them.

    Raises:
        OSError: if there is no such file, nor a folder of frame images.
    """
    if isinstance(path, RemotePath):
        found = object_state(path)
        return found.size, found.mtime_ns
    if is_frame_folder(path):
        return stat_of_folder(path)
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def file_state(path: Path, *, tick: Callable[[], None] = lambda: None) -> FileState:
    """The present state of a file or a folder of frame images, its content read.

    Raises:
        OSError: if it cannot be read.
    """
    if isinstance(path, RemotePath):
        return object_state(path)
    size, mtime_ns = stat_of(path)
    return FileState(size, mtime_ns, content_sha256(path, tick=tick))


def settled_state(
    path: Path,
    *,
    tick: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> FileState:
    """As :func:`file_state`, read so late that whoever changes the file afterwards gives it another time.

    Times of files advance in ticks. A file that was changed in this very tick may be changed again in it, to the same
    size, and nobody could tell; so a file that is as young is read a moment later. One from the future is not waited
    for: a change gives it the present time, which is another one.

    Raises:
        OSError: if it cannot be read.
    """
    if isinstance(path, RemotePath):
        return object_state(path)
    for _ in range(SETTLE_TRIES):  # it may be changed again while it is waited for
        changed_ns = stat_of(path)[1]
        tick_s = TICK_S if changed_ns % 10**9 else COARSE_TICK_S
        age_s = clock() - changed_ns / 1e9
        if not -tick_s < age_s < tick_s:
            break
        sleep(tick_s - age_s)
    return file_state(path, tick=tick)


def current_state(path: Path, recorded: FileState, hasher: Callable[[Path], str] = content_sha256) -> FileState | None:
    """The present state of a recorded file: size and time equal is trusted, else its content is read.

    Returns:
        None if the file is gone or cannot be read. Compare ``sha256`` to know whether it changed.

    Raises:
        OSError: if its storage is lost.
    """
    try:
        size, mtime_ns = stat_of(path)
        if recorded.looks_like(size, mtime_ns):
            return recorded
        return FileState(size, mtime_ns, hasher(path))
    except OSError as error:
        refuse_lost(error, path)
        return None
