"""The feature store: shards (:mod:`.shard`), each published whole, all of one encoder."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..data.arrays import Float16, Float64, Int64
from ..data.errors import StoreError
from ..data.frame_times import is_rising, repaired
from .atomic import create, json_bytes, published, remove_leftovers, write_json
from .ledger import ShardRecord, StoredVideo
from .remote_shards import RemoteShard, RemoteShards
from .shard import (
    VideoFeatures,
    damage_of,
    open_shard,
    provenance_of,
    read_times,
    refuse_deadly,
    row_offsets,
    rows_of,
    sound_videos,
    write_shard,
)
from .shard_rows import ShardFeatures, ShardRows

SMALL_BYTES = 64 << 20  # shards below this are merged ...
LARGE_BYTES = 256 << 20  # ... up to this
PUBLISH_BYTES = 64 << 20  # a shard is published before it outgrows this


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Frames of several videos."""

    features_ND: Float16 | ShardRows  # float16, all frames one after another; in memory, or left in the shards
    times_s_N: Float64  # presentation times
    offsets: Int64  # (V+1,), rows of video v are offsets[v]..offsets[v+1]
    ids: tuple[str, ...]  # the V videos
    ends_s_N: Float64 | None = None  # when rows end that are windows, which ``times_s_N`` begin; None of frames


class FeatureStore:
    """The shards of one encoder: a folder of the work folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder.name

    @property
    def partial_folder(self) -> Path:
        """Where videos in the making are, see :mod:`.partial`."""
        return self.folder / "partial"

    def shard_files(self) -> list[Path]:
        """The published shards, sorted by name."""
        return sorted(self.folder.glob("*.h5"))

    @cached_property
    def remote(self) -> Mapping[str, RemoteShard]:
        """Shards that are in a bucket, and here only while there is room, by file name; see :mod:`.remote_shards`."""
        return RemoteShards(self.folder.parents[1]).of_store(self.key) if len(self.folder.parents) > 1 else {}

    def away(self, name: str) -> RemoteShard | None:
        """The shard of that file name, if it is one of these and not in this folder."""
        return None if (self.folder / name).exists() else self.remote.get(name)

    @contextmanager
    def here(self, name: str) -> Iterator[Path]:
        """A shard's file, for the time of the block; fetched, if it is in a bucket.

        Raises:
            StageError: if it cannot be fetched.
        """
        away = self.away(name)
        if away is None:
            yield self.folder / name
            return
        with away.here() as path:
            yield path

    def encoder(self) -> dict[str, Any] | None:
        """What the first run pinned of the encoder (its precision above all), or None before it."""
        path = self.folder / "encoder.json"
        if not path.exists():
            return None
        try:
            pinned: dict[str, Any] = json.loads(path.read_text())
        except ValueError as error:
            raise StoreError(f"'{path}' is damaged ({error}): `mofore verify` restores it from the shards") from error
        return pinned

    def pin_encoder(self, provenance: dict[str, Any]) -> None:
        """Write down what every shard of this store was and will be made with."""
        write_json(self.folder / "encoder.json", provenance)

    def begin(self, provenance: dict[str, Any]) -> dict[str, Any]:
        """Pin the encoder unless another machine has meanwhile: of several that begin at once, the first one decides.

        Returns:
            What is pinned: ``provenance`` itself, or what the first one wrote.
        """
        if create(self.folder / "encoder.json", json_bytes(provenance)):
            return provenance
        return self.encoder() or provenance

    def clean(self) -> None:
        """Remove what a killed writer left. Only the holder of the lock may call it."""
        remove_leftovers(self.folder)

    def publish(self, videos: Sequence[VideoFeatures], provenance: dict[str, Any]) -> ShardRecord:
        """Write one shard and rename it into place; the returned record goes into the ledger.

        Raises:
            ValueError: if the times of a video do not rise strictly.
        """
        for video in videos:
            if not is_rising(video.times_s_T):
                raise ValueError(f"the times of '{video.id}' do not rise strictly")
        records = tuple(video.record() for video in videos)
        return self._publish(self._new_path(), videos, records, provenance, rising=True)

    def backwards(self, path: Path) -> tuple[str, ...]:
        """Videos of a shard whose times do not rise strictly: earlier versions stored what containers say.

        Raises:
            StoreError: if it is no shard.
        """
        refuse_deadly(path)
        with open_shard(path) as file:
            times_s = file["times_s"][:]
            return tuple(stored.id for frames, stored in rows_of(file) if not is_rising(times_s[frames]))

    def repair_times(self, path: Path) -> ShardRecord:
        """Publish a shard anew under its own name, the times of every video sorted; nothing else changes.

        Raises:
            StoreError: if it is damaged.
        """
        with open_shard(path) as file:
            provenance = provenance_of(file)

        def videos() -> Iterator[VideoFeatures]:
            for video, _ in sound_videos(path):
                yield replace(video, times_s_T=repaired(video.times_s_T))

        records = tuple(video.record() for video in videos())
        return self._publish(path, videos(), records, provenance, rising=True)

    def inspect(self, path: Path) -> ShardRecord:
        """Read a whole shard and hold it against its own digests.

        Raises:
            StoreError: if it is no shard, or a digest does not match.
        """
        refuse_deadly(path)
        sound = tuple((stored, is_rising(video.times_s_T)) for video, stored in sound_videos(path))
        return self._record(path, tuple(stored for stored, _ in sound), rising=all(rises for _, rises in sound))

    def examine(
        self, path: Path, recorded: ShardRecord | None = None, pulse: Callable[[], None] = lambda: None
    ) -> Examination:
        """Read a whole shard, video by video, against its own digests and against what was ``recorded`` of it.

        Unlike :meth:`inspect` it goes on after the first damage, and says which videos are still good.
        ``pulse`` is called between videos.
        """
        expected = recorded.videos if recorded else None
        sound: dict[int, StoredVideo] = {}
        complaints: dict[str, str] = {}  # by video; "" stands for the file
        provenance: dict[str, Any] = {}
        try:
            refuse_deadly(path)
            with open_shard(path) as file:
                provenance = provenance_of(file)
                for row, (frames, stored) in enumerate(rows_of(file)):
                    pulse()
                    complaint = damage_of(file, frames, stored, expected[row : row + 1] if expected else (stored,))
                    if complaint:
                        complaints[stored.id] = complaint
                    else:
                        sound[row] = stored
        except StoreError as error:
            complaints[""] = str(error)
        if expected and len(sound) + len(complaints) < len(expected):
            complaints.setdefault("", "videos that were recorded of it are not in it")
        kept = set(sound.values())
        lost = [video.id for video in expected if video not in kept] if expected else filter(None, complaints)
        record = self._record(path, tuple(sound.values()), rising=not complaints and not self.backwards(path))
        return Examination(record, tuple(sound), tuple(lost), complaints, provenance)

    def rewrite(self, path: Path, rows: Sequence[int]) -> ShardRecord:
        """Publish some videos of a shard, one at a time, as a new shard; the old one stays for the caller to drop.

        Raises:
            StoreError: if one of them does not match its digest: a copy must not make damage look sound.
        """
        with open_shard(path) as file:
            present, provenance = rows_of(file), provenance_of(file)
        records = tuple(present[row][1] for row in rows)
        rise: list[bool] = []

        def videos() -> Iterator[VideoFeatures]:
            for video, _ in sound_videos(path, rows):
                rise.append(is_rising(video.times_s_T))
                yield video

        record = self._publish(self._new_path(), videos(), records, provenance, rising=False)
        return replace(record, rising=all(rise))

    def merge(self, records: Iterable[ShardRecord], provenance: dict[str, Any]) -> list[Merge]:
        """Merge small shards, two or more into one, leaving out all but one copy of a video's features.

        The merged shard is published before the parts are deleted, so a kill in between costs disk, not data. Those
        that are in a bucket alone stay as they are.
        The caller deletes the parts (:meth:`delete`) once the ledger knows the merged shard.

        Raises:
            StoreError: if a part is damaged: merged, it would get digests of the damaged features.
        """
        here = [record for record in records if self.away(record.name) is None]
        batches = _merge_batches(sorted(here, key=lambda record: record.name))
        return [self._merge_batch(batch, provenance) for batch in batches]

    def delete(self, names: Iterable[str]) -> None:
        """Delete shards by file name."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def _merge_batch(self, batch: list[ShardRecord], provenance: dict[str, Any]) -> Merge:
        kept: dict[tuple[str, str], VideoFeatures] = {}
        for record in batch:
            for video, stored in sound_videos(self.folder / record.name):
                kept[video.id, stored.source.sha256] = video
        return Merge(self.publish(list(kept.values()), provenance), tuple(record.name for record in batch))

    def _new_path(self) -> Path:
        return self.folder / f"shard-{secrets.token_hex(6)}.h5"

    def _publish(
        self,
        path: Path,
        videos: Iterable[VideoFeatures],
        records: tuple[StoredVideo, ...],
        provenance: dict[str, Any],
        *,
        rising: bool,
    ) -> ShardRecord:
        with published(path) as temporary:
            write_shard(temporary, videos, records, provenance)
        return self._record(path, records, rising=rising)

    def _record(self, path: Path, videos: tuple[StoredVideo, ...], *, rising: bool) -> ShardRecord:
        state = path.stat()
        return ShardRecord(self.key, path.name, state.st_size, state.st_mtime_ns, videos, rising)

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
        ends = _Ends(len(times_s_N))
        for name, items in self._by_shard(wanted).items():
            with self.here(name) as path, open_shard(path) as file:
                if features_ND is None:
                    features_ND = np.empty((len(times_s_N), file["features"].shape[1]), np.float16)
                for begin, end, source in read_times(file, items, offsets, times_s_N):
                    if end > begin:
                        file["features"].read_direct(features_ND, source, np.s_[begin:end])
                        ends.read(file, source, begin, end)
        assert features_ND is not None
        return FrameTable(features_ND, times_s_N, offsets, tuple(video.id for _, _, video in wanted), ends.read_s_N)

    def attach(self, wanted: Sequence[tuple[str, int, StoredVideo]]) -> FrameTable:
        """The same table as :meth:`load`, but with the features left in the shards.

        Raises:
            StoreError: if a shard is gone, is not what the records say, or cannot be read row by row.
        """
        offsets = row_offsets([video.frames for _, _, video in wanted])
        times_s_N = np.empty(int(offsets[-1]), np.float64)
        place_V, ends = np.empty(len(wanted), np.int64), _Ends(len(times_s_N))
        shards: list[ShardFeatures] = []
        passed = 0  # rows of the shards before
        for name, items in self._by_shard(wanted).items():
            with self.here(name) as path, open_shard(path) as file:
                sources = []
                for begin, end, source in read_times(file, items, offsets, times_s_N):
                    sources.append(source)
                    ends.read(file, source, begin, end)
                shards.append(ShardFeatures.of(file, self.remote.get(name)))
            place_V[[item for item, _ in items]] = [passed + source.start for source in sources]
            passed += shards[-1].rows
        rows = ShardRows(tuple(shards), offsets, place_V)
        return FrameTable(rows, times_s_N, offsets, tuple(video.id for _, _, video in wanted), ends.read_s_N)

    def width(self, name: str) -> int:
        """D of a shard."""
        with self.here(name) as path, open_shard(path) as file:
            return int(file["features"].shape[1])

    def _by_shard(self, wanted: Sequence[tuple[str, int, StoredVideo]]) -> dict[str, list[tuple[int, int]]]:
        """By shard, sorted by name: the videos as (position in the table, row in the shard)."""
        if not wanted:
            raise StoreError(f"no video was asked of the store '{self.folder}'")
        found: dict[str, list[tuple[int, int]]] = {name: [] for name in sorted({name for name, _, _ in wanted})}
        for item, (name, row, _) in enumerate(wanted):
            found[name].append((item, row))
        return found


class _Ends:
    """When the windows of a table end, where the shards have windows.

    Attributes:
        read_s_N: what was read; None as long as there was none.
    """

    def __init__(self, rows: int) -> None:
        self.read_s_N: Float64 | None = None
        self._rows = rows

    def read(self, file: h5py.File, source: slice, begin: int, end: int) -> None:
        """Take the ends of a video's rows, if the shard has any."""
        if "end_s" not in file:
            return
        if self.read_s_N is None:
            self.read_s_N = np.empty(self._rows, np.float64)
        self.read_s_N[begin:end] = file["end_s"][source]


@dataclass(frozen=True, slots=True)
class Examination:
    """What reading a whole shard has shown."""

    record: ShardRecord  # of the shard's file and its sound videos; of all videos, if the shard is sound
    rows: tuple[int, ...]  # where the sound videos are in the shard
    damaged: tuple[str, ...]  # ids of the others, as far as they are known
    complaints: dict[str, str]  # what is wrong, by video; "" stands for the shard as a whole. Empty for a sound shard.
    provenance: dict[str, Any]  # the encoder, as the shard's attribute has it; empty if that cannot be read


@dataclass(frozen=True, slots=True)
class Merge:
    """A merged shard and the names of the shards it replaces."""

    record: ShardRecord
    replaced: tuple[str, ...]


def _merge_batches(records: list[ShardRecord]) -> list[list[ShardRecord]]:
    batches: list[list[ShardRecord]] = [[]]
    for record in records:
        if record.size >= SMALL_BYTES:
            continue
        if sum(part.size for part in batches[-1]) + record.size > LARGE_BYTES:
            batches.append([])
        batches[-1].append(record)
    return [batch for batch in batches if len(batch) > 1]
