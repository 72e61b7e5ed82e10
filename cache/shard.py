"""One shard of a feature store: an HDF5 file, published whole, that describes itself.

A shard holds the features of all frames of its videos one after another::

    features  (N, D) float16, uncompressed   z_i of eq. (4)
    times_s   (N,)   float64                 presentation time of every frame
    offsets   (V+1,) int64                   video v has rows offsets[v] .. offsets[v+1]
    video_id  (V,)   utf-8                   path relative to the data folder
    digest, source_size, source_mtime_ns, source_sha256   (V,)
    attributes: format, version, encoder (JSON: all that is needed to repeat the features)

Of a backbone that sees several frames at once a row is a window of them. ``times_s`` is then when its first frame is
shown, and the shard has when its last one has been, and the middle of both::

    end_s     (N,)   float64
    middle_s  (N,)   float64                 for readers; never read here

One flat dataset with offsets reads 3 to 10 times faster than a dataset per video. Float16 features compress
by a tenth or two only, and compression slows reads 3 to 30 times, so there is none. A shard belongs to one
writer.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..data.arrays import Float16, Float64, Int64
from ..data.blocks import blocks
from ..data.errors import StoreError
from ..data.frame_times import repaired
from ..data.storage import is_lost, refuse_lost
from ..data.types import FileState
from .atomic import make_room
from .ledger import StoredVideo
from .probe import probe
from .shard_file import new_shard

FORMAT, VERSION = "mofore.features", 1
ROOM, ROOM_PER_VIDEO = 64 << 10, 1 << 10  # bytes of a shard beside its features and times, generously
ROWS_AT_ONCE = 8192  # of a video that are in memory while it is written or digested
WINDOW_TIMES = ("end_s", "middle_s")
_TABLES = ("offsets", "video_id", "digest", "source_size", "source_mtime_ns", "source_sha256")
# What HDF5 and its Python layer raise over damaged bytes, found by damaging shards at random.
_DAMAGE = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError)


@dataclass(frozen=True, slots=True)
class VideoFeatures:
    """The features of every frame (or window) of one video, float16, their times, and its file's state."""

    id: str
    source: FileState
    features_TD: Float16
    times_s_T: Float64  # of frames; of windows, when they begin
    ends_s_T: Float64 | None = None  # when windows end; None of frames

    def __post_init__(self) -> None:
        if self.features_TD.ndim != 2 or len(self.features_TD) != len(self.times_s_T):
            raise ValueError(
                f"features of '{self.id}' have shape {self.features_TD.shape} and {len(self.times_s_T)} times; "
                "(T, D) and T are needed"
            )
        if self.ends_s_T is not None and len(self.ends_s_T) != len(self.times_s_T):
            raise ValueError(f"windows of '{self.id}' have {len(self.times_s_T)} starts and {len(self.ends_s_T)} ends")

    def digest(self) -> str:
        """sha256 of the features and times."""
        pieces = (self.features_TD[rows] for rows in blocks(len(self.features_TD), ROWS_AT_ONCE))
        return features_digest(pieces, self.times_s_T, self.ends_s_T)

    def record(self) -> StoredVideo:
        """What the ledger keeps of it."""
        return StoredVideo(self.id, self.source, len(self.features_TD), self.digest())


def features_digest(pieces: Iterable[Float16], times_s_T: Float64, ends_s_T: Float64 | None = None) -> str:
    """Digest of the features of a video, which come in pieces of some rows each, and of its times (and ends)."""
    total = hashlib.sha256()
    for piece_TD in pieces:
        total.update(np.ascontiguousarray(piece_TD, "<f2").tobytes())
    for seconds_T in (times_s_T, *([] if ends_s_T is None else [ends_s_T])):
        for rows in blocks(len(seconds_T), ROWS_AT_ONCE):
            total.update(np.ascontiguousarray(seconds_T[rows], "<f8").tobytes())
    return total.hexdigest()


def row_offsets(lengths: Sequence[int]) -> Int64:
    """Offsets (V+1,) of videos with so many frames each, stored one after another."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def write_shard(
    path: Path, videos: Iterable[VideoFeatures], records: Sequence[StoredVideo], provenance: dict[str, Any]
) -> None:
    """Write a shard; ``videos`` are taken one at a time, and are those of ``records``.

    Raises:
        OSError: if there is no room for it, which is found out before anything is written, or it cannot be written.
    """
    offsets = row_offsets([record.frames for record in records])
    text = h5py.string_dtype("utf-8")
    waiting = iter(videos)
    first = next(waiting)
    width = first.features_TD.shape[1]
    described = json.dumps(provenance, sort_keys=True)
    row_bytes = 2 * width + (8 if first.ends_s_T is None else 24)
    make_room(path, int(offsets[-1]) * row_bytes + ROOM_PER_VIDEO * len(records) + len(described) + ROOM)
    with new_shard(path) as (file, raw):
        times = file.create_dataset("times_s", (int(offsets[-1]),), "<f8")
        features = file.create_dataset("features", (len(times), width), "<f2")
        if first.ends_s_T is not None:
            for name in WINDOW_TIMES:
                file.create_dataset(name, (len(times),), "<f8")
        for video, (start, end) in zip(chain([first], waiting), pairwise(offsets), strict=True):
            for rows in blocks(end - start, ROWS_AT_ONCE):  # the rows of a long film are views of a file
                features[start + rows.start : start + rows.stop] = video.features_TD[rows]
                times[start + rows.start : start + rows.stop] = video.times_s_T[rows]
                if video.ends_s_T is not None:
                    ends_s_R, there = video.ends_s_T[rows], slice(start + rows.start, start + rows.stop)
                    file["end_s"][there], file["middle_s"][there] = ends_s_R, (video.times_s_T[rows] + ends_s_R) / 2
                raw.refuse()
        file["offsets"] = offsets
        # A file name need not be UTF-8; its odd bytes travel as they are.
        names = [record.id.encode("utf-8", "surrogateescape") for record in records]
        file.create_dataset("video_id", data=names, dtype=text)
        file.create_dataset("digest", data=[record.digest for record in records], dtype=text)
        file.create_dataset("source_sha256", data=[record.source.sha256 for record in records], dtype=text)
        file["source_size"] = np.array([record.source.size for record in records], np.int64)
        file["source_mtime_ns"] = np.array([record.source.mtime_ns for record in records], np.int64)
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        file.attrs["encoder"] = described


def read_times(
    file: h5py.File, items: list[tuple[int, int]], offsets: Int64, times_s_N: Float64
) -> Iterator[tuple[int, int, slice]]:
    """Copy the times of videos into a table; yields (first row, end) of each there, and its rows in the shard."""
    starts, times_s = file["offsets"][:], file["times_s"][:]
    for item, row in items:
        begin, end = int(offsets[item]), int(offsets[item + 1])
        source = np.s_[int(starts[row]) : int(starts[row + 1])]
        if source.stop - source.start != end - begin or not 0 <= source.start <= source.stop <= len(times_s):
            raise StoreError(f"'{file.filename}' is not what the ledger recorded: run again with --force")
        times_s_N[begin:end] = repaired(times_s[source])  # as the next run is going to store them
        yield begin, end, source


def refuse_deadly(path: Path) -> None:
    """Look at a shard in a process of its own, since HDF5 may crash over a damaged one.

    Raises:
        StoreError: if it is damaged.
        OSError: if its storage is lost.
    """
    complaint = probe(path, _TABLES)
    refuse_lost(RuntimeError(complaint), path)
    if complaint:
        raise StoreError(f"'{path}' is damaged: {complaint}")


def sound_videos(path: Path, rows: Sequence[int] | None = None) -> Iterator[tuple[VideoFeatures, StoredVideo]]:
    """The videos of a shard, or those in some rows of it, one at a time, each held against its digest."""
    with open_shard(path) as file:
        present = rows_of(file)
        for row in range(len(present)) if rows is None else rows:
            frames, stored = present[row]
            video = _read_video(file, frames, stored)
            if video.digest() != stored.digest:
                what = f"the features of '{stored.id}' don't match their digest"
                raise StoreError(f"'{path}' is damaged: {what}: see `mofore verify`")
            yield video, stored


def rows_of(file: h5py.File) -> list[tuple[slice, StoredVideo]]:
    """Of every video of a shard: where its frames are, and what the shard says of it."""
    names = (name.decode("utf-8", "surrogateescape") for name in file["video_id"][:])
    digests, hashes = file["digest"].asstr()[:], file["source_sha256"].asstr()[:]
    sources = map(FileState, file["source_size"][:].tolist(), file["source_mtime_ns"][:].tolist(), hashes)
    frames = [np.s_[start:end] for start, end in pairwise(file["offsets"][:].tolist())]
    return [
        (where, StoredVideo(name, source, where.stop - where.start, digest))
        for where, name, source, digest in zip(frames, names, sources, digests, strict=True)
    ]


def _check_tables(file: h5py.File) -> None:
    """Refuse tables that are not in the file itself, or cannot be: of a shard nothing is read that it does not hold.

    A link to another file, a virtual table or one in external files would read what lies elsewhere on the machine, or
    zeros where nothing does; one of 2**60 rows would take memory, and for ever.
    """
    room = Path(file.filename).stat().st_size
    for name in ("features", "times_s", *_TABLES, *(name for name in WINDOW_TIMES if name in file)):
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"its table '{name}' is a link, which no shard has")
        table = file[name]
        if not isinstance(table, h5py.Dataset):
            raise ValueError(f"its table '{name}' is a group")
        if table.is_virtual or table.external:
            raise ValueError(f"its table '{name}' is kept in other files, as that of no shard is")
        if math.prod(table.shape) * table.dtype.itemsize > room:
            raise ValueError(f"its table '{name}' has shape {table.shape}, which is more than the file")
    rows = {
        file["features"].shape[0],
        len(file["times_s"]),
        *(len(file[name]) for name in WINDOW_TIMES if name in file),
    }
    if len(file["features"].shape) != 2 or len(rows) != 1:
        raise ValueError("its features and times don't belong together")


def _read_video(file: h5py.File, frames: slice, stored: StoredVideo) -> VideoFeatures:
    ends_s_T = file["end_s"][frames] if "end_s" in file else None
    return VideoFeatures(stored.id, stored.source, file["features"][frames], file["times_s"][frames], ends_s_T)


def damage_of(file: h5py.File, frames: slice, stored: StoredVideo, expected: Sequence[StoredVideo]) -> str:
    """What is wrong with one video of a shard, or nothing. ``expected`` is its record, if there is one."""
    if stored not in expected:
        return "its entry is not the one that was recorded"
    try:
        sound = _read_video(file, frames, stored).digest() == stored.digest
    except _DAMAGE as error:
        if is_lost(error):
            raise
        return f"it cannot be read: {error}"
    return "" if sound else "its features or times don't match their digest"


def provenance_of(file: h5py.File) -> dict[str, Any]:
    """What made the features of a shard, as it says itself; empty where that cannot be read."""
    try:
        provenance = json.loads(file.attrs["encoder"])
    except _DAMAGE:
        return {}
    return provenance if isinstance(provenance, dict) else {}


@contextmanager
def open_shard(path: Path) -> Iterator[h5py.File]:
    """Open a shard for reading; anything that HDF5 or its layout complains of is a damaged shard.

    Raises:
        StoreError: if it is damaged.
        OSError: if its storage is lost, here or within the block.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
                raise StoreError(f"'{path}' is no shard of version {VERSION} of {FORMAT}")
            _check_tables(file)
            yield file
    except _DAMAGE as error:
        refuse_lost(error, path)
        raise StoreError(f"'{path}' is damaged: {error}") from error
