"""Reading and writing at a place in a file, on systems that have no pread and pwrite (Windows) too."""

from __future__ import annotations

import os

BINARY = getattr(os, "O_BINARY", 0)  # Windows translates the ends of lines without it


def read_at(descriptor: int, count: int, start: int) -> bytes:
    """Up to ``count`` bytes from ``start`` on; fewer at the end of the file."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, start)
    os.lseek(descriptor, start, os.SEEK_SET)
    return os.read(descriptor, count)


def read_into(descriptor: int, view: memoryview, start: int) -> int:
    """Fill the beginning of ``view`` from ``start`` on; returns how many bytes came, 0 at the end of the file."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], start)
    came = read_at(descriptor, len(view), start)
    view[: len(came)] = came
    return len(came)


def write_at(descriptor: int, content: bytes, start: int) -> None:
    """Write ``content`` from ``start`` on."""
    if hasattr(os, "pwrite"):
        os.pwrite(descriptor, content, start)
        return
    os.lseek(descriptor, start, os.SEEK_SET)
    os.write(descriptor, content)
