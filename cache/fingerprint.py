"""What a result depends on, as one short text; and whether a file is still the one that was recorded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..data.types import FileState

KEY_LENGTH = 12  # hex digits of a fingerprint in folder names


def digest(value: Any) -> str:
    """sha256 of canonical JSON: sorted keys, no spaces, ASCII, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def stage_fingerprint(stage: str, version: int, config: Mapping[str, Any], upstream: str) -> str:
    """Fingerprint of a stage's output: its name, version, own settings, and what it reads."""
    return digest({"stage": stage, "version": version, "config": dict(config), "upstream": upstream})


def file_sha256(path: Path) -> str:
    """sha256 of a file's content.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def file_state(path: Path) -> FileState:
    """The present state of a file, its content read."""
    before = path.stat()
    return FileState(before.st_size, before.st_mtime_ns, file_sha256(path))


def current_state(path: Path, recorded: FileState, hasher: Callable[[Path], str] = file_sha256) -> FileState | None:
    """The present state of a recorded file: size and time equal is trusted, else its content is read.

    Returns:
        None if the file is gone or cannot be read. Compare ``sha256`` to know whether it changed.
    """
    try:
        present = path.stat()
        if recorded.looks_like(present.st_size, present.st_mtime_ns):
            return recorded
        return FileState(present.st_size, present.st_mtime_ns, hasher(path))
    except OSError:
        return None
