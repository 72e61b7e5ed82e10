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
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from . import stat_files
from .cores import usable_cores

BATCH = 4096  # files
MANY = 4 * BATCH  # of fewer, one process has told all before another is there
MOST = 8  # processes: no more than one folder walk keeps busy


class FileStates:
    """Asks for the sizes and times of files below a folder while the caller is still finding them.

    Used as a context; processes that it starts end with it, and with this process.
    """

    def __init__(self, root: str) -> None:
        self._root = os.fsencode(root)
        self._waiting: list[str] = []
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

    def ask(self, names: list[str]) -> None:
        """Ask for more files, by their paths below the folder."""
        self._waiting += names
        if self._pool is None and len(self._waiting) >= MANY and (processes := min(MOST, len(usable_cores()))) > 1:
            self._pool = ThreadPoolExecutor(processes)
        while self._pool is not None and len(self._waiting) >= BATCH:
            self._submit(self._pool)

    def told(self) -> tuple[array[int], array[int]]:
        """Sizes in bytes and times of change in ns of all files that were asked for, in that order.

        A size is -1 where there is no regular file (any more).
        """
        pairs = array("q")
        if self._pool is None:
            pairs.frombytes(stat_files.states_of(self._batch(self._waiting)) if self._waiting else b"")
        else:
            while self._waiting:
                self._submit(self._pool)
            for future in self._asked:
                pairs.frombytes(future.result())
        return pairs[::2], pairs[1::2]

    def _batch(self, names: list[str]) -> bytes:
        return b"\0".join((self._root, os.fsencode("\0".join(names))))

    def _submit(self, pool: ThreadPoolExecutor) -> None:
        self._asked.append(pool.submit(self._states, self._waiting[:BATCH]))
        del self._waiting[:BATCH]

    def _states(self, names: list[str]) -> bytes:
        """Of a batch, by this thread's process; or here, where there is none."""
        batch = self._batch(names)
        if not hasattr(self._own, "process"):
            self._own.process = self._begun()
        process = self._own.process
        if process is not None:
            with suppress(OSError):
                told = _told_by(process, batch)
                if len(told) == 16 * len(names):
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


def _told_by(process: subprocess.Popen[bytes], batch: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(len(batch).to_bytes(stat_files.HEAD, "little") + batch)
    process.stdin.flush()
    return process.stdout.read(16 * batch.count(b"\0"))


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):
        process.stdin.close()
    process.kill()
    process.stdout.close()
    process.wait()
