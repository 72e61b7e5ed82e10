"""Sizes and times of many files, by several processes at once.

A look at a file takes some microseconds, most of them the system's: seconds for a million files, in which one process
keeps one core busy. Threads win nothing here, since they hand the interpreter to each other at every file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from array import array
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from . import stat_files
from .blocks import blocks
from .cores import usable_cores

BATCH = 4096  # files
MANY = 4 * BATCH  # of fewer, one process has told all before another is there
MOST = 8  # processes: no more than one folder walk keeps busy


class FileStates:
    """Asks for the sizes and times of files below a folder while the caller is still finding them.

    Used as a context; processes that it starts end with it, and with this process.
    """

    def __init__(self, root: str) -> None:
        self._root = f"{root}/"
        self._waiting = deque[tuple[str, list[str]]]()  # folders, and names in them
        self._count = 0  # of these names
        self._asked: list[Future[bytes]] = []
        self._pool: ThreadPoolExecutor | None = None
        self._own = threading.local()  # of each thread: the process that it asks
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> FileStates:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        for process in self._processes:
            _end(process)

    def ask(self, folder: str, names: list[str]) -> None:
        """Ask for more files.

        Args:
            folder: of the files: what their paths below the folder of all begin with, such as "" or "a/b/".
            names: of the files in it.
        """
        self._waiting += [(folder, names[block]) for block in blocks(len(names), BATCH)]
        self._count += len(names)
        if self._pool is None and self._count >= MANY and (processes := min(MOST, len(usable_cores()))) > 1:
            self._pool = ThreadPoolExecutor(processes)
        if self._pool is not None:
            self._submit(self._pool, BATCH)

    def told(self) -> tuple[array[int], array[int]]:
        """Sizes in bytes and times of change in ns of all files that were asked for, in that order.

        A size is -1 where there is no regular file (any more).
        """
        pairs = array("q")
        if self._pool is None:
            pairs.frombytes(stat_files.states_of(self._batch([*self._waiting])) if self._waiting else b"")
        else:
            self._submit(self._pool, 1)
            for future in self._asked:
                pairs.frombytes(future.result())
        return pairs[::2], pairs[1::2]

    def _batch(self, groups: list[tuple[str, list[str]]]) -> bytes:
        return os.fsencode("\0\0".join("\0".join((self._root + folder, *names)) for folder, names in groups))

    def _submit(self, pool: ThreadPoolExecutor, least: int) -> None:
        """Hand out batches while as many files wait as ``least``."""
        while self._count >= least:
            groups, count = list[tuple[str, list[str]]](), 0
            while self._waiting and count < BATCH:
                groups.append(self._waiting.popleft())
                count += len(groups[-1][1])
            self._count -= count
            self._asked.append(pool.submit(self._states, groups, count))

    def _states(self, groups: list[tuple[str, list[str]]], count: int) -> bytes:
        """Of a batch of so many files, by this thread's process; or here, where there is none."""
        batch = self._batch(groups)
        if not hasattr(self._own, "process"):
            self._own.process = self._begun()
        process = self._own.process
        if process is not None:
            with suppress(OSError):
                told = _told_by(process, batch, 16 * count)
                if len(told) == 16 * count:
                    return told
            self._own.process = None  # it was ended
        return stat_files.states_of(batch)

    def _begun(self) -> subprocess.Popen[bytes] | None:
        """Another process, in a session of its own, so that Ctrl-C is left to this one; None where none can be had."""
        if "python" not in Path(sys.executable or "").name.lower():  # a program that has an interpreter built in
            return None
        command = [sys.executable, "-I", "-S", stat_files.__file__]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return None
        self._processes.append(process)
        return process


def _told_by(process: subprocess.Popen[bytes], batch: bytes, size: int) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(len(batch).to_bytes(stat_files.HEAD, "little") + batch)
    process.stdin.flush()
    return process.stdout.read(size)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):
        process.stdin.close()
    process.kill()
    process.stdout.close()
    process.wait()
