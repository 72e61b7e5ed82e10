"""A file that comes piece by piece, and can go on after a kill or a power cut.

``NAME.part`` holds what has come. ``NAME.part.json`` says where it comes from and how many bytes are safe on
disk; it is published after those bytes, so what lies beyond its count is never trusted. The whole file is renamed
to ``NAME``.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from .atomic import sync, write_json

COMMIT_BYTES = 64 << 20  # a kill loses at most that


@dataclass(frozen=True, slots=True)
class Origin:
    """What a server said of a file: its address, validators (RFC 9110, 8.8) and length in bytes."""

    url: str
    etag: str | None
    modified: str | None
    total: int | None

    @property
    def validator(self) -> str | None:
        """What If-Range may hold: a strong ETag, else the date."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class PartFile:
    """The beginning of ``target``; within a ``with`` block it takes further bytes.

    Attributes:
        target: what the file is called once it is whole.
        size: bytes that have come.
        origin: where they come from, or None if there are none.
    """

    def __init__(self, target: Path) -> None:
        self.target, self.size = target, 0
        self.origin: Origin | None = None
        self._path = target.with_name(f"{target.name}.part")
        self._record = target.with_name(f"{target.name}.part.json")
        self._handle: BinaryIO | None = None
        self._committed = 0
        self._load()

    @property
    def whole(self) -> bool:
        """Whether every byte that was announced has come."""
        return self.origin is not None and self.size == self.origin.total

    def begin(self, origin: Origin) -> None:
        """Start with nothing, whatever is there."""
        self.discard()
        self.origin = origin
        self._path.touch()
        self._commit()

    def append(self, content: bytes) -> None:
        """Add bytes; now and then they are made safe."""
        if self._handle is None:
            self._handle = self._path.open("ab")
        self._handle.write(content)
        self.size += len(content)
        if self.size - self._committed >= COMMIT_BYTES:
            self._commit()

    def publish(self) -> None:
        """Give the whole file its name."""
        self._commit()
        self._path.replace(self.target)
        self._record.unlink(missing_ok=True)
        sync(self.target.parent)

    def discard(self) -> None:
        """Delete what has come."""
        self._close()
        self._record.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
        self.size, self._committed, self.origin = 0, 0, None

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever ended the block, what has come is safe."""
        if self.origin is not None:
            self._commit()

    def _load(self) -> None:
        """Take what an earlier run made safe; what it wrote after that is cut off."""
        try:
            record = json.loads(self._record.read_text())
            size, origin = int(record["bytes"]), Origin(**record["origin"])
            if self._path.stat().st_size < size:
                return
        except (OSError, ValueError, TypeError, KeyError):
            return
        os.truncate(self._path, size)
        self.size, self._committed, self.origin = size, size, origin

    def _commit(self) -> None:
        self._close()
        sync(self._path)
        if self.origin is not None:
            write_json(self._record, {"bytes": self.size, "origin": asdict(self.origin)})
        self._committed = self.size

    def _close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()
