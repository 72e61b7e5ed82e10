"""The ledger of a work folder: an append-only journal of what was finished.

One JSON object a line. A line is appended only after what it speaks of has been published; a torn last line
(the run was killed while writing it) is passed over. The shards of a feature store speak for themselves, so
their lines are a cache that spares opening them; stages are known from here alone.

Parts of an extraction, which several machines do at once, have a journal each beside it, in the folder :data:`PARTS`.
Whoever opens the ledger reads those too; who next has the work folder to himself says here what they say, and they go.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ..data.errors import StageError, StoreError
from ..data.storage import naming
from ..data.types import Failure, FileState
from .atomic import write_bytes
from .hold import refuse_lost_folder
from .positioned import BINARY, read_at

VERSION = 2  # 2 knows how to forget a stage; version 1 is read, and continued as version 2
READABLE = (1, 2)
PARTS = ".mofore.parts"  # folder beside the journal: what parts of an extraction need while they are at it
OF_PARTS = ("shard", "failure", "file")  # kinds of lines in their journals
UNTRUSTED = -1  # the size of no file: its content has to be read


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """One video of a shard: its id, the state its file had, its number of frames, the digest of its features."""

    id: str
    source: FileState
    frames: int
    digest: str


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """A published shard."""

    store: str  # key of its store
    name: str  # of its file
    size: int  # of its file, in bytes
    mtime_ns: int  # of its file
    videos: tuple[StoredVideo, ...]  # in their order
    # whether the times of every video are known to rise strictly; earlier versions did not see to it
    rising: bool = False


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A finished stage."""

    stage: str  # "fit" or "index"
    fingerprint: str  # of everything the output depends on
    version: int  # of the stage's code
    config: dict[str, Any]  # the settings that decide the output
    upstream: str  # fingerprint of what was read
    outputs: dict[str, FileState]  # path relative to the work folder -> state
    seconds: float  # wall time


@dataclass(slots=True)
class Ledger:
    """What the journal says, in memory. :meth:`open` reads it, the ``add_*`` methods append to it.

    ``parts`` is the number of parts of an extraction whose journals were read beside it, and whose shards wait to be
    merged.
    """

    path: Path
    shards: dict[str, dict[str, ShardRecord]] = field(default_factory=dict)
    failures: dict[str, dict[str, Failure]] = field(default_factory=dict)
    files: dict[str, FileState] = field(default_factory=dict)
    stages: dict[str, dict[str, StageRecord]] = field(default_factory=dict)
    lines: int = 0
    version: int = VERSION
    parts: int = 0
    # bytes of the journal as it was last seen here, None as long as it was not looked at
    size: int | None = field(default=None, repr=False, compare=False)

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Read the journal; a missing one is empty.

        Raises:
            StoreError: if a line other than the last is damaged, or another version wrote the journal.
        """
        ledger = cls(path)
        text = _text_of(path)
        ledger.size = len(text)
        lines = text.split(b"\n")
        for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is torn or empty
            try:
                record = json.loads(line)
                ledger._apply(record)
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"'{path}' is damaged in line {number} ({error}): move it away and run again; the features "
                    "are read anew from their shards, fit and index run again"
                ) from error
            ledger.lines += 1
        for journal in ledger._journals():
            ledger._hear(journal)
            ledger.parts += 1
        return ledger

    def turn_to(self, path: Path) -> None:
        """Say what follows in another journal."""
        self.path, self.size = path, None

    def take_up_parts(self) -> None:
        """Say here what the journals of parts say, and remove all that parts left but their shards.

        Only the holder of the lock may call it, and before anything else is said here: what came later must stay last.
        """
        for journal in self._journals():
            self._append(self._hear(journal))
        folder = self.path.parent / PARTS
        for path in folder.glob("*"):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # it is not there, or NFS still holds a name in it
            folder.rmdir()

    def add_shard(self, record: ShardRecord) -> None:
        """A shard was published (or is found unchanged under a new time)."""
        self._append([_shard_line(record)])

    def drop_shards(self, store: str, names: Iterable[str]) -> None:
        """Shards were merged into another or found damaged."""
        self._append([{"kind": "drop", "store": store, "name": name} for name in names])

    def add_failure(self, store: str, failure: Failure) -> None:
        """A video could not be read. One that was out of reach is left as it was: to be done."""
        if not failure.passing:
            self._append([_failure_line(store, failure)])

    def add_files(self, states: dict[str, FileState]) -> None:
        """The content of files was read and digested; keys are video ids or ``file:PATH``."""
        self._append([_file_line(key, state) for key, state in states.items()])

    def add_stage(self, record: StageRecord) -> None:
        """A stage finished and its outputs are published."""
        self._append([_stage_line(record)])

    def drop_stage(self, record: StageRecord) -> None:
        """The outputs of a finished stage are gone, or are about to be deleted."""
        # An older mofore must be told that this journal is not for it, before it meets a line it cannot read.
        newer = [] if self.version == VERSION else [_header()]
        self._append([*newer, {"kind": "forget", "stage": record.stage, "fingerprint": record.fingerprint}])

    def distrust(self, record: StageRecord, paths: Iterable[str]) -> None:
        """Outputs of a finished stage are damaged: never take them for sound by their size and time again.

        What they ought to contain stays known, so that a planner names them, and a good copy put back is accepted.
        """
        doubtful = frozenset(paths)
        outputs = {
            path: replace(state, size=UNTRUSTED) if path in doubtful else state
            for path, state in record.outputs.items()
        }
        records = list(self.stages[record.stage].values())
        later = records[records.index(record) + 1 :]  # said again, since the last one said is the latest
        self._append([_stage_line(line) for line in (replace(record, outputs=outputs), *later)])

    def latest(self, stage: str) -> StageRecord | None:
        """The record of ``stage`` that was added last."""
        return next(reversed(self.stages.get(stage, {}).values()), None)

    def find(self, stage: str, fingerprint: str) -> StageRecord | None:
        """The record of ``stage`` with this fingerprint."""
        return self.stages.get(stage, {}).get(fingerprint)

    def compact(self) -> None:
        """Rewrite the journal without superseded lines, when most of them are."""
        live = list(self._live())
        if self.lines > 2 * len(live) + 100:
            write_bytes(self.path, b"".join(_encode(record) for record in live))
            self.lines, self.version, self.size = len(live), VERSION, self.path.stat().st_size

    def _live(self) -> Iterator[dict[str, Any]]:
        yield _header()
        for shards in self.shards.values():
            yield from map(_shard_line, shards.values())
        for store, failures in self.failures.items():
            yield from (_failure_line(store, failure) for failure in failures.values())
        yield from (_file_line(key, state) for key, state in self.files.items())
        for records in self.stages.values():
            yield from map(_stage_line, records.values())

    def _journals(self) -> list[Path]:
        return sorted((self.path.parent / PARTS).glob("*.jsonl"))

    def _hear(self, journal: Path) -> list[dict[str, Any]]:
        """Apply what a part says, and return it.

        It may be saying more just now, over a network: lines that cannot be read are passed over. Their shards speak
        for themselves, and what failed is tried again.
        """
        heard = []
        for line in _text_of(journal).split(b"\n")[:-1]:
            with suppress(ValueError, KeyError, TypeError):
                record = json.loads(line)
                if record["kind"] in OF_PARTS:
                    self._apply(record)
                    heard.append(record)
        return heard

    def _append(self, records: list[dict[str, Any]]) -> None:
        """Append, fsync, and only then believe it. A torn tail is cut off first.

        Raises:
            StageError: if another process has written to the journal, or it is gone with its folder.
        """
        if not records:
            return
        refuse_lost_folder(self.path)
        with naming(self.path):
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | BINARY, 0o666)
            try:
                self._refuse_foreign(os.fstat(handle).st_size)
                records = self._written(handle, records)
            finally:
                os.close(handle)
        for record in records:
            self._apply(record)
        self.lines += len(records)

    def _written(self, handle: int, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Write lines to the open journal, and return them, with what had to be said first."""
        try:
            end = _cut_torn_tail(handle)
            records = [_header(), *records] if end == 0 else records
            _write_all(handle, b"".join(map(_encode, records)), end)
            os.fsync(handle)
        finally:
            with suppress(OSError):
                self.size = os.fstat(handle).st_size
        return records

    def _refuse_foreign(self, size: int) -> None:
        """Nobody may write here beside the holder of the lock, and one who cannot see it still would.

        Of parts each has its own journal; lines there that cannot be read are passed over.
        """
        if self.size not in (None, size) and self.path.parent.name != PARTS:
            raise StageError(
                f"'{self.path}' was changed by another process while this run was at work, for the locks of its disk "
                "do not reach all machines: this one stops. Wait for the other, then run the same command: what both "
                "had finished is kept"
            )

    def _apply(self, record: dict[str, Any]) -> None:
        match record["kind"]:
            case "ledger":
                if record["version"] not in READABLE:
                    raise ValueError(f"version {record['version']}, but this mofore reads versions up to {VERSION}")
                self.version = record["version"]
            case "shard":
                shard = _shard_from(record)
                self.shards.setdefault(shard.store, {})[shard.name] = shard
                failed = self.failures.get(shard.store, {})
                for video in shard.videos if failed else ():
                    failed.pop(video.id, None)
            case "drop":
                self.shards.get(record["store"], {}).pop(record["name"], None)
            case "failure":
                failure = Failure(record["id"], FileState(*record["source"]), record["reason"])
                self.failures.setdefault(record["store"], {})[failure.video_id] = failure
            case "file":
                self.files[record["key"]] = FileState(*record["state"])
            case "stage":
                stage = _stage_from(record)
                known = self.stages.setdefault(stage.stage, {})
                known.pop(stage.fingerprint, None)  # so that the newest is last
                known[stage.fingerprint] = stage
            case "forget":
                self.stages.get(record["stage"], {}).pop(record["fingerprint"], None)
            case other:
                raise ValueError(f"a line of unknown kind {other!r}")


def _text_of(path: Path) -> bytes:
    """What a journal says; nothing if it is not there. A disk that is lost must not look like that."""
    try:
        with naming(path):
            return path.read_bytes()
    except FileNotFoundError:
        return b""


def _write_all(handle: int, content: bytes, at: int) -> None:
    """Write at a place: a call may take a part of it."""
    os.lseek(handle, at, os.SEEK_SET)
    left = memoryview(content)
    while left:
        left = left[os.write(handle, left) :]


def _encode(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _cut_torn_tail(handle: int) -> int:
    """Shorten the file to its last newline; return its size."""
    size = os.fstat(handle).st_size
    end = size
    while end and read_at(handle, 1, end - 1) != b"\n":
        end -= 1
    if end != size:
        os.ftruncate(handle, end)
    return end


def _header() -> dict[str, Any]:
    return {"kind": "ledger", "version": VERSION}


def _state_row(state: FileState) -> list[Any]:
    return [state.size, state.mtime_ns, state.sha256]


def _shard_line(record: ShardRecord) -> dict[str, Any]:
    rows = [[v.id, *_state_row(v.source), v.frames, v.digest] for v in record.videos]
    return {
        "kind": "shard",
        "store": record.store,
        "name": record.name,
        "state": [record.size, record.mtime_ns],
        "videos": rows,
        "rising": record.rising,
    }


def _shard_from(record: dict[str, Any]) -> ShardRecord:
    videos = tuple(
        StoredVideo(name, FileState(size, mtime_ns, sha256), frames, digest)
        for name, size, mtime_ns, sha256, frames, digest in record["videos"]
    )
    size, mtime_ns = record["state"]
    return ShardRecord(record["store"], record["name"], size, mtime_ns, videos, record.get("rising", False))


def _failure_line(store: str, failure: Failure) -> dict[str, Any]:
    source = _state_row(failure.source)
    return {"kind": "failure", "store": store, "id": failure.video_id, "source": source, "reason": failure.reason}


def _file_line(key: str, state: FileState) -> dict[str, Any]:
    return {"kind": "file", "key": key, "state": _state_row(state)}


def _stage_line(record: StageRecord) -> dict[str, Any]:
    outputs = {path: _state_row(state) for path, state in record.outputs.items()}
    return {"kind": "stage", **asdict(record), "outputs": outputs}


def _stage_from(record: dict[str, Any]) -> StageRecord:
    values = {key: value for key, value in record.items() if key != "kind"}
    values["outputs"] = {path: FileState(*row) for path, row in record["outputs"].items()}
    return StageRecord(**values)


class Recorder(Protocol):
    """Who is told of what is safe: the ledger, or the way to it from another process."""

    def add_shard(self, record: ShardRecord) -> None:
        """A shard was published."""

    def add_failure(self, store: str, failure: Failure) -> None:
        """A video could not be read."""
