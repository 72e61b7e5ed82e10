"""That a folder which a run has to itself is still there, and its own.

A lock says so where the system keeps it. But a folder can be renamed while a run is at work, with another one put in
its place, and locks of some network disks do not reach other machines. So who holds a lock file leaves a mark in it,
and whatever is written below its folder looks first whether the file at the path is still that one, with that mark
(:func:`refuse_lost_folder`). Who begins elsewhere sees a mark that changes every few seconds, however clocks stand.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..data.errors import StageError
from ..data.storage import naming
from .positioned import read_at, write_at

BEAT_S = 5.0  # between two changes of the mark
BEATS_WATCHED = 2.5  # that pass before a mark of another machine is taken for one that was left
LOOK_S = 0.1
TEXT_BYTES = 400  # of a lock file that are read

_holds: dict[Path, Hold] = {}  # by folder, absolute: of this process


class Hold:
    """A lock file in a folder, and the mark that was left in it.

    Args:
        path: of the lock file.
        handle: the open file.
        alone: whether the folder is held alone, and a mark is to be left.
    """

    def __init__(self, path: Path, handle: int, *, alone: bool) -> None:
        self.path, self.handle = path, handle
        self._identity = os.fstat(handle).st_ino
        self._mark = secrets.token_hex(8) if alone else ""
        self._who = f"process {os.getpid()} on {socket.gethostname()}\n"
        self._beats = 0
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="mofore-hold", daemon=True)

    def begin(self) -> None:
        """Leave the mark, and keep changing it."""
        os.ftruncate(self.handle, 0)
        write_at(self.handle, self._text(), 0)
        self._beating.start()

    def end(self) -> None:
        """Take the mark away, if it is still this one."""
        self._over.set()
        if self._beating.ident is not None:
            self._beating.join(timeout=1.0)  # it may wait for a disk that is lost
        with suppress(OSError):
            if self._mark and self._mark in _read(self.path, self._identity):
                os.ftruncate(self.handle, 0)

    def complaint(self) -> str:
        """Why nothing may be written below the folder any more; empty if it may.

        Raises:
            OSError: if the disk cannot be read.
        """
        folder = self.path.parent
        try:
            text = _read(self.path, self._identity)
        except FileNotFoundError:
            now = _present_path(self.handle)
            where = f"it is '{now}' now: go on there with -w" if now else "give its new path with -w"
            return (
                f"the folder '{folder}' was renamed, replaced or deleted while this run was at work, so nothing more "
                f"was written ({where}); what was finished is kept"
            )
        if self._mark and self._mark not in text:
            who = text.splitlines()[0] if text else "another process"
            return (
                f"another run ({who}) has begun in '{folder}' while this one was at work, for the locks of its disk "
                "do not reach all machines: this one stops. Wait for the other, then run the same command: what both "
                "had finished is kept"
            )
        return ""

    def refuse_lost(self) -> None:
        """Refuse to go on in a folder that is no longer this run's own.

        Raises:
            StageError: if it is not.
        """
        if said := self.complaint():
            raise StageError(said)

    def _text(self) -> bytes:
        return f"{self._who}{self._mark} {self._beats:012d}\n".encode()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            self._beats += 1
            with suppress(OSError):  # the run itself is going to find out
                if self.complaint():
                    return
                write_at(self.handle, self._text(), 0)


@contextmanager
def held(hold: Hold) -> Iterator[None]:
    """A block in which all that is written below the folder of ``hold`` goes by it; what fails is explained by it.

    Raises:
        StageError: if the folder is no longer its own.
    """
    folder = hold.path.parent.absolute()
    before = _holds.get(folder)
    _holds[folder] = hold
    try:
        yield
    except Exception as error:
        with suppress(OSError):
            if (said := hold.complaint()) and said != str(error):
                raise StageError(said) from error
        raise
    finally:
        if before is None:
            del _holds[folder]
        else:
            _holds[folder] = before


@contextmanager
def beside(path: Path) -> Iterator[None]:
    """A block of a process that writes below a folder that its parent holds, by the lock file ``path``."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        with held(Hold(path, handle, alone=False)):
            yield
    finally:
        os.close(handle)


def refuse_lost_folder(path: Path) -> None:
    """Refuse to write ``path`` if it is in a folder that this process held, and no longer does.

    Raises:
        StageError: if so.
    """
    if (hold := _hold_of(path)) is not None:
        hold.refuse_lost()


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it; but never anew a folder that this process holds, and that is gone.

    Raises:
        StageError: if it is gone.
    """
    hold = _hold_of(folder)
    if hold is None:
        folder.mkdir(parents=True, exist_ok=True)
        return
    hold.refuse_lost()
    top = hold.path.parent.absolute()
    within = folder.absolute().relative_to(top).parts
    for count in range(1, len(within) + 1):
        top.joinpath(*within[:count]).mkdir(exist_ok=True)


def living(*paths: Path) -> str:
    """Who holds one of the lock files on another machine, whose locks do not reach this one; empty for nobody.

    Takes some seconds where a run of another machine was killed and has left its mark, and no time otherwise.
    """
    here = f" on {socket.gethostname()}"  # where locks can be relied on
    texts = {path: _read_if_there(path) for path in paths}
    watched = {path: text for path, text in texts.items() if _is_mark(text) and not text.splitlines()[0].endswith(here)}
    end = time.monotonic() + BEATS_WATCHED * BEAT_S
    while watched and time.monotonic() < end:
        time.sleep(LOOK_S)
        for path, text in list(watched.items()):
            if (now := _read_if_there(path)) != text:
                if now:
                    return now.splitlines()[0]
                del watched[path]  # it has come to its end
    return ""


def _is_mark(text: str) -> bool:
    return len(text.splitlines()) >= 2


def _read_if_there(path: Path) -> str:
    """The text of a lock file; empty if a run of another machine, which the locks do not reach, has deleted it."""
    try:
        return _read(path)
    except FileNotFoundError:
        return ""


def _hold_of(path: Path) -> Hold | None:
    absolute = path.absolute()
    found = [folder for folder in _holds if absolute.is_relative_to(folder)]
    return _holds[max(found, key=lambda folder: len(folder.parts))] if found else None


def _read(path: Path, identity: int | None = None) -> str:
    """The text of a lock file, opened anew, since a network disk then asks its server.

    Raises:
        FileNotFoundError: if there is none, or it is not the one of that identity.
    """
    with naming(path):
        handle = os.open(path, os.O_RDONLY)
        try:
            if identity is not None and os.fstat(handle).st_ino != identity:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            return read_at(handle, TEXT_BYTES, 0).decode(errors="replace")
        finally:
            os.close(handle)


def _present_path(handle: int) -> str:
    """Where the folder of an open file is now, where the system tells; empty if it does not, or the file is deleted."""
    try:
        now = Path(f"/proc/self/fd/{handle}").readlink()
    except OSError:
        return ""
    return "" if now.name.endswith(" (deleted)") else str(now.parent)
