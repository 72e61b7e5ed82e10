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
import math
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..data.arrays import Float16, Float64, Int64
from ..data.blocks import blocks
from ..data.errors import StoreError
from ..data.frame_times import is_rising, repaired
from ..data.types import FileState
from .atomic import make_room, published, remove_leftovers, write_json
from .ledger import ShardRecord, StoredVideo
from .probe import probe
from .shard_rows import ShardFeatures, ShardRows

FORMAT, VERSION = "mofore.features", 1
SMALL_BYTES = 64 << 20  # shards below this are merged ...
LARGE_BYTES = 256 << 20  # ... up to this
ROOM, ROOM_PER_VIDEO = 64 << 10, 1 << 10  # bytes of a shard beside its features and times, generously
ROWS_AT_ONCE = 8192  # of a video that are in memory while it is written or digested
_TABLES = ("offsets", "video_id", "digest", "source_size", "source_mtime_ns", "source_sha256")
# What HDF5 and its Python layer raise over damaged bytes, found by damaging shards at random.
_DAMAGE = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError)
PUBLISH_BYTES = 64 << 20  # a shard is published before it outgrows this


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
        pieces = (self.features_TD[rows] for rows in blocks(len(self.features_TD), ROWS_AT_ONCE))
        return features_digest(pieces, self.times_s_T)

    def record(self) -> StoredVideo:
        """What the ledger keeps of it."""
        return StoredVideo(self.id, self.source, len(self.features_TD), self.digest())


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Frames of several videos."""

    features_ND: Float16 | ShardRows  # float16, all frames one after another; in memory, or left in the shards
    times_s_N: Float64  # presentation times
    offsets: Int64  # (V+1,), rows of video v are offsets[v]..offsets[v+1]
    ids: tuple[str, ...]  # the V videos


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
        _refuse_deadly(path)
        with _open_shard(path) as file:
            times_s = file["times_s"][:]
            return tuple(stored.id for frames, stored in _rows_of(file) if not is_rising(times_s[frames]))

    def repair_times(self, path: Path) -> ShardRecord:
        """Publish a shard anew under its own name, the times of every video sorted; nothing else changes.

        Raises:
            StoreError: if it is damaged.
        """
        with _open_shard(path) as file:
            provenance = _provenance_of(file)

        def videos() -> Iterator[VideoFeatures]:
            for video, _ in _sound_videos_of(path):
                yield replace(video, times_s_T=repaired(video.times_s_T))

        records = tuple(video.record() for video in videos())
        return self._publish(path, videos(), records, provenance, rising=True)

    def inspect(self, path: Path) -> ShardRecord:
        """Read a whole shard and hold it against its own digests.

        Raises:
            StoreError: if it is no shard, or a digest does not match.
        """
        _refuse_deadly(path)
        sound = tuple((stored, is_rising(video.times_s_T)) for video, stored in _sound_videos_of(path))
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
            _refuse_deadly(path)
            with _open_shard(path) as file:
                provenance = _provenance_of(file)
                for row, (frames, stored) in enumerate(_rows_of(file)):
                    pulse()
                    complaint = _complaint(file, frames, stored, expected[row : row + 1] if expected else (stored,))
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
        with _open_shard(path) as file:
            present, provenance = _rows_of(file), _provenance_of(file)
        records = tuple(present[row][1] for row in rows)
        rise: list[bool] = []

        def videos() -> Iterator[VideoFeatures]:
            for video, _ in _sound_videos_of(path, rows):
                rise.append(is_rising(video.times_s_T))
                yield video

        record = self._publish(self._new_path(), videos(), records, provenance, rising=False)
        return replace(record, rising=all(rise))

    def merge(self, records: Iterable[ShardRecord], provenance: dict[str, Any]) -> list[Merge]:
        """Merge small shards, two or more into one, leaving out all but one copy of a video's features.

        The merged shard is published before the parts are deleted, so a kill in between costs disk, not data.
        The caller deletes the parts (:meth:`delete`) once the ledger knows the merged shard.

        Raises:
            StoreError: if a part is damaged: merged, it would get digests of the damaged features.
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
            for video, stored in _sound_videos_of(self.folder / record.name):
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
            _write_shard(temporary, videos, records, provenance)
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
        for name, items in self._by_shard(wanted).items():
            with _open_shard(self.folder / name) as file:
                if features_ND is None:
                    features_ND = np.empty((len(times_s_N), file["features"].shape[1]), np.float16)
                for begin, end, source in _read_times(file, items, offsets, times_s_N):
                    if end > begin:
                        file["features"].read_direct(features_ND, source, np.s_[begin:end])
        assert features_ND is not None
        return FrameTable(features_ND, times_s_N, offsets, tuple(video.id for _, _, video in wanted))

    def attach(self, wanted: Sequence[tuple[str, int, StoredVideo]]) -> FrameTable:
        """The same table as :meth:`load`, but with the features left in the shards.

        Raises:
            StoreError: if a shard is gone, is not what the records say, or cannot be read row by row.
        """
        offsets = row_offsets([video.frames for _, _, video in wanted])
        times_s_N = np.empty(int(offsets[-1]), np.float64)
        place_V = np.empty(len(wanted), np.int64)
        shards: list[ShardFeatures] = []
        passed = 0  # rows of the shards before
        for name, items in self._by_shard(wanted).items():
            with _open_shard(self.folder / name) as file:
                sources = [source for _, _, source in _read_times(file, items, offsets, times_s_N)]
                shards.append(ShardFeatures.of(file))
            place_V[[item for item, _ in items]] = [passed + source.start for source in sources]
            passed += shards[-1].rows
        rows = ShardRows(tuple(shards), offsets, place_V)
        return FrameTable(rows, times_s_N, offsets, tuple(video.id for _, _, video in wanted))

    def width(self, name: str) -> int:
        """D of a shard."""
        with _open_shard(self.folder / name) as file:
            return int(file["features"].shape[1])

    def _by_shard(self, wanted: Sequence[tuple[str, int, StoredVideo]]) -> dict[str, list[tuple[int, int]]]:
        """By shard, sorted by name: the videos as (position in the table, row in the shard)."""
        if not wanted:
            raise StoreError(f"no video was asked of the store '{self.folder}'")
        found: dict[str, list[tuple[int, int]]] = {name: [] for name in sorted({name for name, _, _ in wanted})}
        for item, (name, row, _) in enumerate(wanted):
            found[name].append((item, row))
        return found


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


def features_digest(pieces: Iterable[Float16], times_s_T: Float64) -> str:
    """Digest of the features of a video, which come in pieces of some rows each, and of its times."""
    total = hashlib.sha256()
    for piece_TD in pieces:
        total.update(np.ascontiguousarray(piece_TD, "<f2").tobytes())
    for rows in blocks(len(times_s_T), ROWS_AT_ONCE):
        total.update(np.ascontiguousarray(times_s_T[rows], "<f8").tobytes())
    return total.hexdigest()


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
    path: Path, videos: Iterable[VideoFeatures], records: Sequence[StoredVideo], provenance: dict[str, Any]
) -> None:
    """Write a shard; ``videos`` are taken one at a time, and are those of ``records``.

    Raises:
        OSError: if there is no room for it. That is found out before HDF5 begins, for it may crash when it
            closes a file that it could not write.
    """
    offsets = row_offsets([record.frames for record in records])
    text = h5py.string_dtype("utf-8")
    waiting = iter(videos)
    first = next(waiting)
    width = first.features_TD.shape[1]
    described = json.dumps(provenance, sort_keys=True)
    make_room(path, int(offsets[-1]) * (2 * width + 8) + ROOM_PER_VIDEO * len(records) + len(described) + ROOM)
    with h5py.File(path, "w") as file:
        times = file.create_dataset("times_s", (int(offsets[-1]),), "<f8")
        features = file.create_dataset("features", (len(times), width), "<f2")
        for video, (start, end) in zip(chain([first], waiting), pairwise(offsets), strict=True):
            for rows in blocks(end - start, ROWS_AT_ONCE):  # the rows of a long film are views of a file
                features[start + rows.start : start + rows.stop] = video.features_TD[rows]
                times[start + rows.start : start + rows.stop] = video.times_s_T[rows]
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


def _read_times(
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


def _refuse_deadly(path: Path) -> None:
    complaint = probe(path, _TABLES)
    if complaint:
        raise StoreError(f"'{path}' is damaged: {complaint}")


def _sound_videos_of(path: Path, rows: Sequence[int] | None = None) -> Iterator[tuple[VideoFeatures, StoredVideo]]:
    """The videos of a shard, or those in some rows of it, one at a time, each held against its digest."""
    with _open_shard(path) as file:
        present = _rows_of(file)
        for row in range(len(present)) if rows is None else rows:
            frames, stored = present[row]
            video = _read_video(file, frames, stored)
            if video.digest() != stored.digest:
                what = f"the features of '{stored.id}' don't match their digest"
                raise StoreError(f"'{path}' is damaged: {what}: see `mofore verify`")
            yield video, stored


def _rows_of(file: h5py.File) -> list[tuple[slice, StoredVideo]]:
    """Of every video of a shard: where its frames are, and what the shard says of it."""
    _check_shapes(file)
    names = (name.decode("utf-8", "surrogateescape") for name in file["video_id"][:])
    digests, hashes = file["digest"].asstr()[:], file["source_sha256"].asstr()[:]
    sources = map(FileState, file["source_size"][:].tolist(), file["source_mtime_ns"][:].tolist(), hashes)
    frames = [np.s_[start:end] for start, end in pairwise(file["offsets"][:].tolist())]
    return [
        (where, StoredVideo(name, source, where.stop - where.start, digest))
        for where, name, source, digest in zip(frames, names, sources, digests, strict=True)
    ]


def _check_shapes(file: h5py.File) -> None:
    """Refuse tables that cannot be in the file: reading one of 2**60 rows would take memory and for ever."""
    room = Path(file.filename).stat().st_size
    for name in ("features", "times_s", *_TABLES):
        table = file[name]
        if math.prod(table.shape) * table.dtype.itemsize > room:
            raise ValueError(f"its table '{name}' has shape {table.shape}, which is more than the file")
    if len(file["features"].shape) != 2 or file["features"].shape[0] != len(file["times_s"]):
        raise ValueError("its features and times don't belong together")


def _read_video(file: h5py.File, frames: slice, stored: StoredVideo) -> VideoFeatures:
    return VideoFeatures(stored.id, stored.source, file["features"][frames], file["times_s"][frames])


def _complaint(file: h5py.File, frames: slice, stored: StoredVideo, expected: Sequence[StoredVideo]) -> str:
    """What is wrong with one video of a shard, or nothing. ``expected`` is its record, if there is one."""
    if stored not in expected:
        return "its entry is not the one that was recorded"
    try:
        sound = _read_video(file, frames, stored).digest() == stored.digest
    except _DAMAGE as error:
        return f"it cannot be read: {error}"
    return "" if sound else "its features or times don't match their digest"


def _provenance_of(file: h5py.File) -> dict[str, Any]:
    try:
        provenance = json.loads(file.attrs["encoder"])
    except _DAMAGE:
        return {}
    return provenance if isinstance(provenance, dict) else {}


@contextmanager
def _open_shard(path: Path) -> Iterator[h5py.File]:
    """Open a shard for reading; anything that HDF5 or its layout complains of is a damaged shard."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
                raise StoreError(f"'{path}' is no shard of version {VERSION} of {FORMAT}")
            yield file
    except _DAMAGE as error:
        raise StoreError(f"'{path}' is damaged: {error}") from error
