import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mofore.cache import shard_rows
from mofore.cache.ledger import ShardRecord
from mofore.cache.shard import VideoFeatures
from mofore.cache.shard_rows import ShardRows
from mofore.cache.store import FeatureStore
from mofore.data.errors import StoreError
from mofore.data.types import FileState

LENGTHS = [9, 1, 30, 4, 17, 0, 25, 12]


def features(number: int, frames: int, width: int = 5) -> VideoFeatures:
    table = np.random.default_rng(number).standard_normal((frames, width)).astype(np.float16)
    return VideoFeatures(f"v{number}", FileState(frames, 1, f"sha-{number}"), table, np.arange(frames) / 25)


def places(*records: ShardRecord) -> list[tuple[str, int, Any]]:
    return [(record.name, row, video) for record in records for row, video in enumerate(record.videos)]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features" / "enc")


@pytest.fixture
def wanted(store: FeatureStore) -> list[tuple[str, int, Any]]:
    """Videos of three shards, in an order that is not the files'."""
    videos = [features(number, frames) for number, frames in enumerate(LENGTHS)]
    found = places(*(store.publish(videos[part::3], {}) for part in range(3)))
    return [found[n] for n in np.random.default_rng(0).permutation(len(found))]


def rows_of(store: FeatureStore, wanted: list[tuple[str, int, Any]]) -> ShardRows:
    rows = store.attach(wanted).features_ND
    assert isinstance(rows, ShardRows)
    return rows


@pytest.mark.parametrize(("hole", "stretch"), [(16 << 10, 4 << 20), (0, 4 << 20), (20, 40)])
def test_rows_from_files_are_those_in_memory(
    store: FeatureStore, wanted: list[tuple[str, int, Any]], monkeypatch: pytest.MonkeyPatch, hole: int, stretch: int
) -> None:
    monkeypatch.setattr(shard_rows, "HOLE_BYTES", hole)
    monkeypatch.setattr(shard_rows, "STRETCH_BYTES", stretch)
    loaded, rows = store.load(wanted).features_ND, rows_of(store, wanted)
    assert (rows.shape, len(rows)) == (loaded.shape, len(loaded))
    rng = np.random.default_rng(1)
    clips = (rng.integers(0, len(rows) - 4, 40)[:, None] + np.arange(4)).ravel()  # they overlap, and cross videos
    for asked in (np.arange(len(rows)), rng.integers(0, len(rows), 200), clips, np.arange(0, 90, 7), np.arange(0)):
        taken = rows.take(asked)
        assert taken.dtype == np.float16
        assert np.array_equal(taken, loaded[asked])


def test_the_rest_of_the_table_is_as_loaded(store: FeatureStore, wanted: list[tuple[str, int, Any]]) -> None:
    loaded, attached = store.load(wanted), store.attach(wanted)
    assert np.array_equal(attached.times_s_N, loaded.times_s_N)
    assert np.array_equal(attached.offsets, loaded.offsets)
    assert attached.ids == loaded.ids


def test_a_shard_that_is_gone_cut_short_or_changed_is_named(store: FeatureStore) -> None:
    record = store.publish([features(0, 300)], {})
    path = store.folder / record.name
    rows, state = rows_of(store, places(record)), path.stat()
    content = path.read_bytes()
    os.truncate(path, len(content) // 2)
    with pytest.raises(StoreError, match=rf"{record.name}' was changed while it was in use.*mofore verify"):
        rows.take(np.arange(300))
    path.write_bytes(content)
    with pytest.raises(StoreError, match="was changed"):
        rows.take(np.arange(3))
    os.utime(path, ns=(state.st_mtime_ns, state.st_mtime_ns))
    assert len(rows.take(np.arange(3))) == 3
    path.unlink()
    with pytest.raises(StoreError, match=rf"{record.name}' can no longer be read \(.*No such file"):
        rows.take(np.arange(3))


def test_a_file_that_ends_while_it_is_read_is_damaged(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    record = store.publish([features(0, 300)], {})
    rows = rows_of(store, places(record))
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    with pytest.raises(StoreError, match="ends before its features do"):
        rows.take(np.arange(300))


def test_short_reads_are_continued(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    record = store.publish([features(0, 300)], {})
    whole, really = store.load(places(record)).features_ND, os.preadv
    monkeypatch.setattr(os, "preadv", lambda number, views, start: really(number, [views[0][:7]], start))
    assert np.array_equal(rows_of(store, places(record)).take(np.arange(300)), whole)


def test_chunked_features_are_refused_with_the_way_out(store: FeatureStore) -> None:
    record = store.publish([features(0, 30)], {})
    with h5py.File(store.folder / record.name, "r+") as file:
        values = file["features"][:]
        del file["features"]
        file.create_dataset("features", data=values, chunks=(10, 5))
    with pytest.raises(StoreError, match=r"chunked.*raise fit\.memory_gb"):
        store.attach(places(record))
    assert len(store.load(places(record)).features_ND) == 30


def test_shards_of_several_widths_are_refused(store: FeatureStore) -> None:
    records = [store.publish([features(width, 30, width)], {}) for width in (4, 5)]
    with pytest.raises(StoreError, match=r"widths \[4, 5\]"):
        store.attach(places(*records))
