"""The feature store: HDF5 shards, each published whole, each describing itself.

A shard holds the features of all frames of its videos one after another::

    features  (N, D) float16, uncompressed   z_i of eq. (4)
    times_s   (N,)   float64                 presentation time of every frame
    offsets   (V+1,) int64                   video v has rows offsets[v] .. offsets[v+1]
    video_id  (V,)   utf-8                   path relative to the data folder
    digest, source_size, source_mtime_ns, source_sha256   (V,)
    attributes: format, version, encoder (JSON: all that is needed to repeat the features)

One flat dataset with offsets reads 3 to 10 times faster than a dataset per video. Float16 features compress
by a tenth or two only, and compression slows reads 3 to 30 times, so there is none. A shard belongs to one
writer; a store, to one encoder.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..data.arrays import Float16, Float64, Int64
from ..data.errors import StoreError
from ..data.types import FileState
from .atomic import published, remove_leftovers, write_json
from .ledger import ShardRecord, StoredVideo

FORMAT, VERSION = "mofore.features", 1
SMALL_BYTES = 64 << 20  # shards below this are merged ...
LARGE_BYTES = 256 << 20  # ... up to this


@dataclass(frozen=True, slots=True)
class VideoFeatures:
    """The features of every frame of one video, features_TD float16 and times_s_T, and its file's state."""

    id: str
    source: FileState
    features_TD: Float16
    times_s_T: Float64

    def __post_init__(self) -> None:
        if self.features_TD.ndim != 2 or len(self.features_TD) != len(self.times_s_T):
            raise ValueError(
                f"features of '{self.id}' have shape {self.features_TD.shape} and {len(self.times_s_T)} times; "
                "(T, D) and T are needed"
            )

    def digest(self) -> str:
        """sha256 of the features and times."""
        parts = (np.ascontiguousarray(self.features_TD, "<f2"), np.ascontiguousarray(self.times_s_T, "<f8"))
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def record(self) -> StoredVideo:
        """What the ledger keeps of it."""
        return StoredVideo(self.id, self.source, len(self.features_TD), self.digest())


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Frames of several videos in memory.

    Attributes:
        features_ND: float16, all frames one after another.
        times_s_N: presentation times.
        offsets: (V+1,), rows of video v are offsets[v]..offsets[v+1].
        ids: the V videos.
    """

    features_ND: Float16
    times_s_N: Float64
    offsets: Int64
    ids: tuple[str, ...]

    @property
    def lengths_V(self) -> Int64:
        """Frames of each video."""
        return np.diff(self.offsets)


class FeatureStore:
    """The shards of one encoder: a folder of the work folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder.name

    def shard_files(self) -> list[Path]:
        """The published shards, sorted by name."""
        return sorted(self.folder.glob("*.h5"))

    def encoder(self) -> dict[str, Any] | None:
        """What the first run pinned of the encoder (its precision above all), or None before it."""
        path = self.folder / "encoder.json"
        if not path.exists():
            return None
        try:
            pinned: dict[str, Any] = json.loads(path.read_text())
        except ValueError as error:
            raise StoreError(f"'{path}' is damaged ({error}): delete the folder '{self.folder}'") from error
        return pinned

    def pin_encoder(self, provenance: dict[str, Any]) -> None:
        """Write down what every shard of this store was and will be made with."""
        write_json(self.folder / "encoder.json", provenance)

    def clean(self) -> None:
        """Remove what a killed writer left. Only the holder of the lock may call it."""
        remove_leftovers(self.folder)

    def publish(self, videos: Sequence[VideoFeatures], provenance: dict[str, Any]) -> ShardRecord:
        """Write one shard and rename it into place; the returned record goes into the ledger."""
        path = self.folder / f"shard-{secrets.token_hex(6)}.h5"
        records = tuple(video.record() for video in videos)
        with published(path) as temporary:
            _write_shard(temporary, videos, records, provenance)
        return self._record(path, records)

    def inspect(self, path: Path) -> ShardRecord:
        """Read a whole shard and hold it against its own digests.

        Raises:
            StoreError: if it is no shard, or a digest does not match.
        """
        videos = []
        for video, stored in _videos_of(path):
            if video.digest() != stored.digest:
                raise StoreError(f"'{path}' is damaged: the features of '{video.id}' don't match their digest")
            videos.append(stored)
        return self._record(path, tuple(videos))

    def merge(self, records: Iterable[ShardRecord], provenance: dict[str, Any]) -> list[Merge]:
        """Merge small shards, two or more into one, leaving out all but one copy of a video's features.

        The merged shard is published before the parts are deleted, so a kill in between costs disk, not data.
        The caller deletes the parts (:meth:`delete`) once the ledger knows the merged shard.
        """
        batches = _merge_batches(sorted(records, key=lambda record: record.name))
        return [self._merge_batch(batch, provenance) for batch in batches]

    def delete(self, names: Iterable[str]) -> None:
        """Delete shards by file name."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def _merge_batch(self, batch: list[ShardRecord], provenance: dict[str, Any]) -> Merge:
        kept: dict[tuple[str, str], VideoFeatures] = {}
        for record in batch:
            for video, stored in _videos_of(self.folder / record.name):
                kept[video.id, stored.source.sha256] = video
        return Merge(self.publish(list(kept.values()), provenance), tuple(record.name for record in batch))

    def _record(self, path: Path, videos: tuple[StoredVideo, ...]) -> ShardRecord:
        state = path.stat()
        return ShardRecord(self.key, path.name, state.st_size, state.st_mtime_ns, videos)

    def load(self, wanted: Sequence[tuple[str, int, StoredVideo]]) -> FrameTable:
        """Read videos into memory, in the given order.

        Args:
            wanted: (shard's file name, row of the video in that shard, its record) of each.

        Raises:
            StoreError: if a shard is gone or is not what the records say.
        """
        offsets = row_offsets([video.frames for _, _, video in wanted])
        features_ND: Float16 | None = None
        times_s_N = np.empty(int(offsets[-1]), np.float64)
        for name in sorted({name for name, _, _ in wanted}):
            with _open_shard(self.folder / name) as file:
                if features_ND is None:
                    features_ND = np.empty((len(times_s_N), file["features"].shape[1]), np.float16)
                items = [(item, row) for item, (shard, row, _) in enumerate(wanted) if shard == name]
                _read_videos(file, items, offsets, features_ND, times_s_N)
        if features_ND is None:
            raise StoreError(f"no video was asked of the store '{self.folder}'")
        return FrameTable(features_ND, times_s_N, offsets, tuple(video.id for _, _, video in wanted))


@dataclass(frozen=True, slots=True)
class Merge:
    """A merged shard and the names of the shards it replaces."""

    record: ShardRecord
    replaced: tuple[str, ...]


def row_offsets(lengths: Sequence[int]) -> Int64:
    """Offsets (V+1,) of videos with so many frames each, stored one after another."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _merge_batches(records: list[ShardRecord]) -> list[list[ShardRecord]]:
    batches: list[list[ShardRecord]] = [[]]
    for record in records:
        if record.size >= SMALL_BYTES:
            continue
        if sum(part.size for part in batches[-1]) + record.size > LARGE_BYTES:
            batches.append([])
        batches[-1].append(record)
    return [batch for batch in batches if len(batch) > 1]


def _write_shard(
    path: Path, videos: Sequence[VideoFeatures], records: Sequence[StoredVideo], provenance: dict[str, Any]
) -> None:
    offsets = row_offsets([record.frames for record in records])
    text = h5py.string_dtype("utf-8")
    with h5py.File(path, "w") as file:
        shape = (int(offsets[-1]), videos[0].features_TD.shape[1])
        features = file.create_dataset("features", shape, "<f2")
        times = file.create_dataset("times_s", (shape[0],), "<f8")
        for video, (start, end) in zip(videos, pairwise(offsets), strict=True):
            features[start:end] = video.features_TD
            times[start:end] = video.times_s_T
        file["offsets"] = offsets
        # A file name need not be UTF-8; its odd bytes travel as they are.
        names = [video.id.encode("utf-8", "surrogateescape") for video in videos]
        file.create_dataset("video_id", data=names, dtype=text)
        file.create_dataset("digest", data=[record.digest for record in records], dtype=text)
        file.create_dataset("source_sha256", data=[video.source.sha256 for video in videos], dtype=text)
        file["source_size"] = np.array([video.source.size for video in videos], np.int64)
        file["source_mtime_ns"] = np.array([video.source.mtime_ns for video in videos], np.int64)
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        file.attrs["encoder"] = json.dumps(provenance, sort_keys=True)


def _read_videos(
    file: h5py.File, items: list[tuple[int, int]], offsets: Int64, features_ND: Float16, times_s_N: Float64
) -> None:
    """Copy videos, given as (position in the table, row in the shard), straight into the table."""
    starts = file["offsets"][:]
    for item, row in items:
        begin, end = int(offsets[item]), int(offsets[item + 1])
        source = np.s_[int(starts[row]) : int(starts[row + 1])]
        if source.stop - source.start != end - begin:
            raise StoreError(f"'{file.filename}' is not what the ledger recorded: run again with --force")
        if end > begin:
            file["features"].read_direct(features_ND, source, np.s_[begin:end])
            file["times_s"].read_direct(times_s_N, source, np.s_[begin:end])


def _videos_of(path: Path) -> Iterator[tuple[VideoFeatures, StoredVideo]]:
    with _open_shard(path) as file:
        offsets = file["offsets"][:]
        names = [name.decode("utf-8", "surrogateescape") for name in file["video_id"][:]]
        digests, hashes = file["digest"].asstr()[:], file["source_sha256"].asstr()[:]
        sizes, times = file["source_size"][:], file["source_mtime_ns"][:]
        for row, name in enumerate(names):
            rows = np.s_[int(offsets[row]) : int(offsets[row + 1])]
            source = FileState(int(sizes[row]), int(times[row]), hashes[row])
            video = VideoFeatures(name, source, file["features"][rows], file["times_s"][rows])
            yield video, StoredVideo(name, source, rows.stop - rows.start, digests[row])


@contextmanager
def _open_shard(path: Path) -> Iterator[h5py.File]:
    """Open a shard for reading; anything that HDF5 or its layout complains of is a damaged shard."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
                raise StoreError(f"'{path}' is no shard of version {VERSION} of {FORMAT}")
            yield file
    except (OSError, KeyError, ValueError) as error:
        raise StoreError(f"'{path}' is damaged: {error}") from error
