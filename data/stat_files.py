"""Sizes and times of files, asked for by a process that does nothing else.

Run by its path, it answers batches from its standard input until that ends. It needs the standard library alone, so it
is there within milliseconds. See :mod:`.file_states`.
"""

import os
import stat
import sys
from array import array

NOT_A_FILE = -1  # in place of a size
WORTH_OPENING = 4  # files of a folder from which on the system is spared to find the folder again for each
HEAD = 8  # bytes of a number, which says how long a batch is


def states_of(batch: bytes) -> bytes:
    """Size and time of change in ns of each file, as pairs of int64; a size of -1 for what is no regular file, or gone.

    Args:
        batch: a folder's path, and names in it, with zero bytes between them; two before the next folder.
    """
    found: list[int] = []
    for group in batch.split(b"\0\0"):
        folder, *names = group.split(b"\0")
        _look(folder, names, found)
    return array("q", found).tobytes()


def _look(folder: bytes, names: list[bytes], found: list[int]) -> None:
    """Append the states of a folder's files."""
    try:
        opened = os.open(folder, os.O_RDONLY) if len(names) >= WORTH_OPENING else None
    except OSError:  # it has gone, or this is Windows, which opens no folders
        opened = None
    if opened is None:
        _states([os.path.join(folder, name) for name in names], None, found)  # noqa: PTH118 - bytes
        return
    try:
        _states(names, opened, found)
    finally:
        os.close(opened)


def _states(names: list[bytes], folder: int | None, found: list[int]) -> None:
    stat_of, kind, regular = os.stat, 0o170000, stat.S_IFREG
    for name in names:
        try:
            state = stat_of(name, dir_fd=folder)
        except OSError:
            found += (NOT_A_FILE, 0)
            continue
        found += (state.st_size, state.st_mtime_ns) if state.st_mode & kind == regular else (NOT_A_FILE, 0)


def answer() -> None:
    """Answer batch after batch."""
    asked, told = sys.stdin.buffer, sys.stdout.buffer
    while head := asked.read(HEAD):
        told.write(states_of(asked.read(int.from_bytes(head, "little"))))
        told.flush()


if __name__ == "__main__":
    answer()
