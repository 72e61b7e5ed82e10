"""Memory that the processes of one machine share: written once, mapped by all, never sent.

It is a file without a place in any folder, so that nothing is left behind whoever is killed, and it does not count
against a container's /dev/shm. A process that knows its path maps it, whether it is a child or not.
"""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ALIGNED = 64  # bytes; arrays begin at multiples
DESCRIPTORS = Path("/proc/self/fd")  # where it is, a process's open files have paths for others


def nameless_file(size: int) -> int:
    """The descriptor of a file of ``size`` zeroed bytes in no folder: it ends with the last process that has it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mofore")
    else:  # macOS: a file that is unlinked at once
        with tempfile.TemporaryFile() as handle:
            descriptor = os.dup(handle.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def named_file(size: int) -> tuple[int, str]:
    """Descriptor and path of a file of ``size`` zeroed bytes among the temporary ones, for :func:`remove`."""
    descriptor, path = tempfile.mkstemp(prefix="mofore-")
    os.ftruncate(descriptor, size)
    return descriptor, path


def remove(path: str) -> None:
    """Remove a file of :func:`named_file`; Windows leaves one that is still mapped to its own cleaning."""
    with suppress(OSError):
        Path(path).unlink()


class SharedMemory:
    """Zeroed memory of ``size`` bytes that others may map while it is open."""

    def __init__(self, size: int) -> None:
        if DESCRIPTORS.is_dir():
            self._handle: Any = os.fdopen(nameless_file(max(size, 1)), "r+b")
            self.path = f"/proc/{os.getpid()}/fd/{self._handle.fileno()}"
        else:  # macOS, Windows: nobody else reaches a file without a name; this one is deleted by `close`
            descriptor, self.path = named_file(max(size, 1))
            self._handle = os.fdopen(descriptor, "r+b")

    def close(self) -> None:
        """Let nobody else map it; whoever has done so keeps it."""
        self._handle.close()
        if not self.path.startswith("/proc/"):
            remove(self.path)


def mapped(path: str) -> memoryview:
    """The memory at ``path``, readable and writable; it stays for as long as a view of it is used."""
    with Path(path).open("r+b") as handle:
        return memoryview(mmap.mmap(handle.fileno(), 0))


@dataclass(frozen=True, slots=True)
class Shared:
    """Where a thing lies."""

    path: str  # of the memory
    bounds: tuple[tuple[int, int], ...]  # (begin, end) of its pickle, then of each of its arrays, in bytes

    @property
    def size(self) -> int:
        """Bytes of the memory."""
        return max(self.bounds[-1][1], 1)

    def open(self) -> Any:
        """The thing, its arrays being the common memory itself."""
        view = mapped(self.path)
        pickled, *arrays = (view[begin:end] for begin, end in self.bounds)
        return pickle.loads(pickled, buffers=arrays)


@contextmanager
def shared(thing: object) -> Iterator[Shared]:
    """Put what can be pickled into common memory, where others may open it until the context ends."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(pickled), *(buffer.raw() for buffer in buffers)]
    bounds = _bounds([len(part) for part in parts])
    memory = SharedMemory(bounds[-1][1])
    try:
        view = mapped(memory.path)
        for part, (begin, end) in zip(parts, bounds, strict=True):
            view[begin:end] = part
        parts.clear()
        buffers.clear()
        yield Shared(memory.path, bounds)
    finally:
        memory.close()


def _bounds(sizes: list[int]) -> tuple[tuple[int, int], ...]:
    bounds, begin = [], 0
    for size in sizes:
        bounds.append((begin, begin + size))
        begin += -(-size // ALIGNED) * ALIGNED
    return tuple(bounds)
