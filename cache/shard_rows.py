"""Rows of shards that stay in their files: for a store that is larger than memory.

A shard's features are one contiguous table, so the place of a row in the file is known, and rows are read past HDF5
and its lock. They are asked of the kernel all at once (``POSIX_FADV_WILLNEED``), in the order of the files, and then
read, a clip in one call; what is read lies in the system's page cache, as far as that reaches.

A memory map was tried and rejected: a clip of 16 KB costs it four or five page faults one after another (cold, 330 ms
or more for 1,024 clips, against 28 ms; warm, 8 to 68 against 5), and a file that is cut short kills the process with
SIGBUS where a read can say what happened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np

from ..data.arrays import Bool, Float16, Int64
from ..data.errors import StoreError
from ..data.storage import refuse_lost
from .positioned import BINARY, read_into
from .remote_shards import RemoteShard

HOLE_BYTES = 16 << 10  # rows no further apart are read together, with what is between
STRETCH_BYTES = 4 << 20  # read in one call at most; rounded down to whole rows


@dataclass(frozen=True, slots=True)
class ShardFeatures:
    """Where the features of a shard are in its file."""

    path: Path  # the file
    start: int  # its byte at which the first row begins
    rows: int  # N
    width: int  # D
    size: int  # of the whole file
    mtime_ns: int  # when it was written; by both it is known that the file is still the same
    remote: RemoteShard | None = None  # where it is fetched from whenever it is not here; None where it always is

    @classmethod
    def of(cls, file: h5py.File, remote: RemoteShard | None = None) -> ShardFeatures:
        """Look up the features of an open shard.

        Args:
            file: the shard.
            remote: itself, if it is a copy of one in a bucket.

        Raises:
            StoreError: if they are not one uncompressed table of float16.
        """
        path, table = Path(file.filename), file["features"]
        rows, width = table.shape
        start = table.id.get_offset() if rows else 0  # an empty table has no place
        state = path.stat()
        if rows != len(file["times_s"]):
            raise StoreError(f"'{path}' is damaged: its features and times don't belong together: see `mofore verify`")
        if start is None or table.dtype != np.dtype("<f2"):
            raise StoreError(
                f"the features of '{path}' are chunked, compressed or no float16, and cannot be read row by row: "
                "raise fit.memory_gb so that they are loaded"
            )
        if start + 2 * rows * width > state.st_size:
            raise StoreError(f"'{path}' is damaged: it ends before its features do: see `mofore verify`")
        return cls(path, start, rows, width, state.st_size, state.st_mtime_ns, remote)

    @property
    def row_bytes(self) -> int:
        """Bytes from one row to the next: ``width`` numbers of float16."""
        return 2 * self.width

    def is_here(self) -> bool:
        """Whether it can be read without fetching it."""
        return self.remote is None or self.path.exists()

    def _file(self) -> AbstractContextManager[Path]:
        if self.remote is None or (self.path != self.remote.path and self.path.exists()):
            return nullcontext(self.path)
        return self.remote.here()

    @contextmanager
    def opened(self) -> Iterator[int]:
        """The file's descriptor.

        Raises:
            StoreError: if the file is gone, is another one, or cannot be read (inside the block, too).
            StageError: if it has to be fetched, and cannot be.
        """
        with self._file() as path:
            try:
                number = os.open(path, os.O_RDONLY | BINARY)
                try:
                    state = os.fstat(number)
                    if (state.st_size, state.st_mtime_ns) != (self.size, self.mtime_ns):
                        raise StoreError(f"'{self.path}' was changed while it was in use: see `mofore verify`")
                    _advise(number, 0, 0, "POSIX_FADV_RANDOM")
                    yield number
                finally:
                    os.close(number)
            except OSError as error:
                refuse_lost(error, self.path)
                raise StoreError(f"'{self.path}' can no longer be read ({error}): see `mofore verify`") from error


@dataclass(frozen=True, slots=True)
class ShardRows:
    """The rows (N, D) of V videos, one video after another, left in shards."""

    shards: tuple[ShardFeatures, ...]  # the files
    offsets: Int64  # (V+1,), rows of video v are offsets[v]..offsets[v+1]
    place_V: Int64  # where the first row of each video is, counted through the rows of all shards

    def __post_init__(self) -> None:
        widths = sorted({shard.width for shard in self.shards})
        if len(widths) != 1:
            raise StoreError(f"the shards' features are of widths {widths}: one store has one width")

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D), over all shards, as of one array."""
        return len(self), self.shards[0].width

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def take(self, rows_R: Int64) -> Float16:
        """Read rows, in any order, into memory: (R, D).

        Raises:
            StoreError: if a shard is gone, was changed, or cannot be read.
        """
        place_R = self._places(rows_R)
        order_R = np.argsort(place_R, kind="stable")
        out_RD = np.empty((len(rows_R), self.shards[0].width), np.dtype("<f2"))
        stretches = self._stretches(place_R[order_R], order_R)
        for shard, parts in stretches:
            if not shard.is_here():
                continue
            with shard.opened() as number:
                for part in parts:
                    part.announce(shard, number)
        for shard, parts in stretches:
            with shard.opened() as number:
                for part in parts:
                    part.read(shard, number, out_RD)
        return out_RD

    def _places(self, rows_R: Int64) -> Int64:
        """Rows counted through all shards."""
        video_R = np.searchsorted(self.offsets, rows_R, side="right") - 1
        places: Int64 = self.place_V[video_R] + (rows_R - self.offsets[video_R])
        return places

    def _stretches(self, place_R: Int64, order_R: Int64) -> list[tuple[ShardFeatures, list[_Stretch]]]:
        """What to read of which shard for ascending places; ``order_R`` is where each row belongs in the answer."""
        bases = np.cumsum([0, *(shard.rows for shard in self.shards)])
        shard_R = np.searchsorted(bases, place_R, side="right") - 1
        row_R = place_R - bases[shard_R]
        bends_R = np.cumsum((np.diff(row_R, prepend=0) != 1) | (np.diff(order_R, prepend=0) != 1))
        breaks = np.flatnonzero(_breaks(row_R, shard_R, self.shards[0].width))
        found: dict[int, list[_Stretch]] = {}
        for begin, end in pairwise([*breaks.tolist(), len(row_R)]):
            straight = bool(bends_R[end - 1] == bends_R[begin])
            stretch = _Stretch(row_R[begin:end], order_R[begin:end], straight)
            found.setdefault(int(shard_R[begin]), []).append(stretch)
        return [(self.shards[number], parts) for number, parts in found.items()]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rows of a shard that are read in one go, with those between them."""

    row_P: Int64  # the wanted rows, ascending
    order_P: Int64  # where these belong in the answer
    straight: bool  # whether they are one after another, in the shard and in the answer

    def announce(self, shard: ShardFeatures, number: int) -> None:
        """Let the kernel begin to read, without waiting for it."""
        rows = int(self.row_P[-1] - self.row_P[0]) + 1
        _advise(number, self._start(shard), rows * shard.row_bytes, "POSIX_FADV_WILLNEED")

    def read(self, shard: ShardFeatures, number: int, out_RD: Float16) -> None:
        """Read, and put the wanted rows where they belong."""
        if self.straight:
            first = int(self.order_P[0])
            _fill(shard, number, out_RD[first : first + len(self.order_P)], self._start(shard))
            return
        row_P = self.row_P - self.row_P[0]
        read_SD = np.empty((int(row_P[-1]) + 1, shard.width), out_RD.dtype)
        _fill(shard, number, read_SD, self._start(shard))
        out_RD[self.order_P] = read_SD[row_P]

    def _start(self, shard: ShardFeatures) -> int:
        return shard.start + shard.row_bytes * int(self.row_P[0])


def _breaks(row_R: Int64, shard_R: Int64, width: int) -> Bool:
    """Where a new stretch begins, for ascending rows of ascending shards."""
    chunk_R = row_R // max(1, STRETCH_BYTES // (2 * width))
    breaks: Bool = np.diff(row_R, prepend=0) > 1 + HOLE_BYTES // (2 * width)
    breaks |= np.diff(shard_R, prepend=-1) != 0
    breaks |= np.diff(chunk_R, prepend=-1) != 0
    return breaks


def _fill(shard: ShardFeatures, number: int, rows_SD: Float16, start: int) -> None:
    """Fill ``rows_SD`` with the bytes of a file from ``start`` on."""
    waiting = rows_SD.data.cast("B")
    while waiting:
        count = read_into(number, waiting, start)
        if not count:
            raise StoreError(f"'{shard.path}' is damaged: it ends before its features do: see `mofore verify`")
        waiting, start = waiting[count:], start + count


def _advise(number: int, start: int, size: int, advice: str) -> None:
    """Tell the kernel how a file is about to be read, where it can be told."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(number, start, size, getattr(os, advice))
