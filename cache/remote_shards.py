"""Shards that lie in a store of objects, of which some are on this disk, as many as are allowed: ``pull --cache``.

Whatever reads a shard asks for it by name. One that is in no folder of the store, but in ``remote.json``, is fetched
below ``.mofore.cache``, held against its digest, and stays there until others need its room: then those go first that
were used longest ago. Nothing but copies of what is in the bucket ever lies there: shards that are made here lie where
shards always do, and are never deleted for room.

Each shard has a lock file. Who reads it shares it, so that it is not deleted meanwhile; who fetches or deletes it holds
it alone. What is on the way counts as if it had arrived, so that several processes together keep to the bound.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from ..data.errors import ReadOnlyError, StageError, StoreError
from ..data.remote_path import RemotePath
from ..data.types import FileState
from .fingerprint import file_sha256
from .lock import awaited
from .remote_memory import OBJECTS, Known
from .remote_objects import fetch, temporary

FOLDER = ".mofore.cache"  # of the work folder
ROOM = "room.lock"  # held while room is made, and while what was on its way takes its name
ROOM_S = 0.1  # between two looks for room
PATIENCE_S = 30.0  # how long room is waited for while others use all shards that are here
_ON_THE_WAY = re.compile(r"\.(?P<name>.+)\.(?P<size>\d+)\.tmp")


def is_shard(name: str) -> bool:
    """Whether a file of a work folder, by its path in there, is a shard."""
    path = PurePosixPath(name)
    return len(path.parts) == 3 and path.parts[0] == "features" and path.suffix == ".h5"


@dataclass(frozen=True, slots=True)
class RemoteShard:
    """A shard in a store of objects; it may be here, too."""

    top: Path  # the folder of all copies
    key: str  # of its feature store
    name: str  # of its file
    place: RemotePath  # what was pushed
    state: FileState  # of the file: bytes, time of change and digest
    limit: int  # bytes of all copies

    @property
    def path(self) -> Path:
        """Where its copy is, if there is one."""
        return self.top / self.key / self.name

    @property
    def at(self) -> RemotePath:
        """The object."""
        return self.place / OBJECTS / self.state.sha256

    @contextmanager
    def here(self) -> Iterator[Path]:
        """A copy of it on this disk, for the time of the block.

        Raises:
            StageError: if it cannot be fetched, or there is no room for it.
            StoreError: if it is not what was pushed.
            ReadOnlyError: if nothing can be written here.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _lock(self.path).touch()
        except OSError as error:
            raise ReadOnlyError(
                f"'{self.top}', where shards from '{self.place}' are kept, cannot be written to: {error.strerror}; "
                "pull into a folder that can"
            ) from error
        while True:
            with awaited(_lock(self.path), alone=False):
                if self.path.is_file():
                    with suppress(PermissionError):  # of another user
                        os.utime(self.path, ns=(time.time_ns(), self.state.mtime_ns))  # by which the oldest is known
                    yield self.path
                    return
            with awaited(_lock(self.path), alone=True):
                if not self.path.is_file():
                    self._fetch()

    def is_sound(self) -> bool | None:
        """Whether its copy is what was pushed, else it is deleted; None where there is none, or it is being fetched."""
        if not self.path.is_file():
            return None
        with awaited(_lock(self.path), alone=False):
            sound = self.path.is_file() and file_sha256(self.path) == self.state.sha256
        if not sound:
            self.drop()
        return sound

    def drop(self) -> None:
        """Delete its copy, unless it is in use."""
        _delete(self.path)

    def _fetch(self) -> None:
        self._make_room()
        try:
            # Not while copies are counted: one that is renamed meanwhile may be seen under neither name.
            fetch(self.at, self.path, self.state, arriving=partial(awaited, self.top / ROOM, alone=True))
        except FileNotFoundError as error:
            if error.filename != str(self.at):  # it is not the object that is missing
                raise
            raise StageError(
                f"'{self.at}' ({self.key}/{self.name}) is no longer in the bucket: has another machine pushed there "
                "since? `mofore pull` brings what is there now; else the next `mofore push` of a folder that has it"
            ) from error
        except OSError as error:
            if error.filename != str(self.at):
                raise
            here = sum(size for path, size in _copies(self.top) if path.suffix == ".h5")
            raise StageError(
                f"'{self.at}' ({self.key}/{self.name}) cannot be fetched: {error.strerror}. Once the store can be "
                f"reached, the same command goes on; until then all works that needs the index, the model, or no other "
                f"shards than those that are here ({here / 1e9:.3g} GB)"
            ) from error

    def _make_room(self) -> None:
        """Delete what was used longest ago until this one fits, and say that it is on its way.

        Raises:
            StageError: if all that is here is in use.
        """
        part = temporary(self.path, self.state.size)
        give_up = time.monotonic() + PATIENCE_S
        while True:
            with awaited(self.top / ROOM, alone=True):
                others = [(path, size) for path, size in _copies(self.top) if path != part]
                if make_room(others, self.limit - self.state.size):
                    part.touch()
                    return
            if time.monotonic() > give_up:
                held = sum(size for _, size in others)
                raise StageError(
                    f"no room for {self.key}/{self.name} ({self.state.size / 1e9:.3g} GB): {held / 1e9:.3g} of "
                    f"{self.limit / 1e9:.3g} GB of shards are in use by other processes: wait for them, or keep more "
                    "with `mofore pull --cache SIZE`"
                )
            time.sleep(ROOM_S)


class RemoteShards:
    """The shards of a work folder that need not be on its disk.

    Attributes:
        limit: how many bytes of them may be; None where all are, as ever.
        place: where they are.
    """

    def __init__(self, root: Path) -> None:
        known = Known.of(root)
        self.limit, self.top = known.cache_bytes, root / FOLDER
        self.place = RemotePath.parse(known.place) if known.place else None
        self._files = {name: state for name, state in known.files.items() if is_shard(name)}

    def of_store(self, key: str) -> dict[str, RemoteShard]:
        """Those of one feature store, by the name of their file; none where all are on the disk."""
        if self.limit is None or self.place is None:
            return {}
        found = {}
        for name, state in self._files.items():
            _, store, file = name.split("/")
            if store == key:
                found[file] = RemoteShard(self.top, store, file, self.place, state, self.limit)
        return found

    def find(self, name: str) -> RemoteShard | None:
        """The one that has this path in the work folder."""
        _, key, file = name.split("/")
        return self.of_store(key).get(file)

    def amount(self) -> tuple[int, int, int]:
        """How many they are, their bytes, and how many bytes of copies are here."""
        return (
            len(self._files),
            sum(state.size for state in self._files.values()),
            sum(size for _, size in _copies(self.top)),
        )


def adopt(path: Path, root: Path, name: str) -> None:
    """Take a shard of the work folder, which is in the bucket, for a copy of that."""
    copy = root / FOLDER / PurePosixPath(name).relative_to("features")
    copy.parent.mkdir(parents=True, exist_ok=True)
    path.replace(copy)


def bring_back(root: Path, name: str, state: FileState) -> bool:
    """Move a copy to where shards of the folder lie; whether there was one.

    Raises:
        StoreError: if others are reading it.
    """
    copy = root / FOLDER / PurePosixPath(name).relative_to("features")
    if not copy.is_file() or copy.stat().st_size != state.size or file_sha256(copy) != state.sha256:
        return False
    try:
        with awaited(_lock(copy), alone=True, patience_s=PATIENCE_S):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            copy.replace(root / name)
            os.utime(root / name, ns=(state.mtime_ns, state.mtime_ns))
    except TimeoutError as error:
        raise StoreError(f"'{copy}' is in use by another process: wait for it, and pull again") from error
    return True


def keep_to(root: Path, limit: int) -> None:
    """Delete copies, those first that were used longest ago, until no more bytes are left than that."""
    top = root / FOLDER
    if top.is_dir():
        with awaited(top / ROOM, alone=True):
            make_room(_copies(top), limit)


def make_room(copies: list[tuple[Path, int]], limit: int) -> bool:
    """Delete the first of these, but none that is in use, until the rest has ``limit`` bytes; whether that was done."""
    total = sum(size for _, size in copies)
    for path, size in copies:
        if total <= limit:
            break
        total -= size * _delete(path)
    return total <= limit


def _copies(top: Path) -> list[tuple[Path, int]]:
    """What is here and what is on its way, with its bytes, that which was used longest ago first."""
    found = []
    for path in top.glob("*/*"):
        coming = _ON_THE_WAY.fullmatch(path.name)
        if path.suffix == ".h5" or coming:
            try:
                state = path.stat()
            except FileNotFoundError:  # it was deleted
                continue
            found.append((state.st_atime_ns, path, int(coming["size"]) if coming else state.st_size))
    return [(path, size) for _, path, size in sorted(found)]


def _lock(path: Path) -> Path:
    coming = _ON_THE_WAY.fullmatch(path.name)
    return path.with_name(f"{coming['name'] if coming else path.name}.lock")


def _delete(path: Path) -> bool:
    """Delete a copy, or what was on its way, unless it is in use; whether it is gone."""
    try:
        with awaited(_lock(path), alone=True, patience_s=0):
            path.unlink(missing_ok=True)
    except (TimeoutError, PermissionError):  # Windows deletes nothing that is open
        return False
    return True
