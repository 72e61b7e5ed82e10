import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from mofore.cache.ledger import ShardRecord
from mofore.cache.probe import probe
from mofore.cache.shard import VideoFeatures
from mofore.cache.store import FeatureStore
from mofore.data.errors import StoreError
from mofore.data.types import FileState


def features(name: str, frames: int, value: float = 1.0) -> VideoFeatures:
    rng = np.random.default_rng(frames)
    table = (rng.standard_normal((frames, 5)) * value).astype(np.float16)
    return VideoFeatures(
        name,
        FileState(frames, 1, f"sha-{name}-{value}".encode("ascii", "replace").decode()),
        table,
        np.arange(frames) / 25,
    )


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features" / "enc")


def places(record: ShardRecord) -> list[tuple[str, int, object]]:
    return [(record.name, row, video) for row, video in enumerate(record.videos)]


def test_a_shard_has_the_names_that_scripts_rely_on(store: FeatureStore) -> None:
    record = store.publish([features("a/1.avi", 3), features("a/2.avi", 4)], {"backbone": "timm:x"})
    with h5py.File(store.folder / record.name) as file:
        assert file["features"].shape == (7, 5)
        assert file["features"].dtype == np.float16
        assert file["offsets"][:].tolist() == [0, 3, 7]
        assert file["video_id"].asstr()[:].tolist() == ["a/1.avi", "a/2.avi"]
        assert file["times_s"].shape == (7,)
        assert "timm:x" in file.attrs["encoder"]


def test_features_come_back_in_the_order_asked_for(store: FeatureStore) -> None:
    videos = [features(name, frames) for name, frames in (("a", 3), ("b", 1), ("c", 6))]
    first, second = store.publish(videos[:2], {}), store.publish(videos[2:], {})
    wanted = [(second.name, 0, second.videos[0]), (first.name, 1, first.videos[1]), (first.name, 0, first.videos[0])]
    table = store.load(wanted)
    assert table.ids == ("c", "b", "a")
    assert table.offsets.tolist() == [0, 6, 7, 10]
    assert np.array_equal(table.features_ND, np.concatenate([videos[i].features_TD for i in (2, 1, 0)]))
    assert np.array_equal(table.times_s_N[:6], videos[2].times_s_T)


def test_inspection_agrees_with_what_was_published(store: FeatureStore) -> None:
    record = store.publish([features("caf\udce9.avi", 3)], {})
    assert store.inspect(store.folder / record.name) == record


def test_a_changed_number_is_found_and_its_video_named(store: FeatureStore) -> None:
    record = store.publish([features("a", 3), features("b", 3)], {})
    path = store.folder / record.name
    with h5py.File(path, "r+") as file:
        file["features"][4, 2] += np.float16(1)
    with pytest.raises(StoreError, match="'b' don't match"):
        store.inspect(path)


def test_a_truncated_shard_and_a_foreign_file_are_damaged(store: FeatureStore) -> None:
    record = store.publish([features("a", 300)], {})
    path = store.folder / record.name
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StoreError, match="damaged"):
        store.inspect(path)
    path.write_bytes(b"x" * 100)
    with pytest.raises(StoreError, match="damaged"):
        store.inspect(path)
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros(3)
    with pytest.raises(StoreError, match="no shard of version"):
        store.inspect(path)


def test_merging_keeps_one_copy_of_everything(store: FeatureStore) -> None:
    parts = [store.publish([features("a", 3)], {}), store.publish([features("b", 2), features("a", 3)], {})]
    changed = store.publish([features("a", 3, value=2.0)], {})
    (merge,) = store.merge([*parts, changed], {})
    assert set(merge.replaced) == {part.name for part in (*parts, changed)}
    kept = {(video.id, video.source.sha256) for video in merge.record.videos}
    assert kept == {("a", "sha-a-1.0"), ("b", "sha-b-1.0"), ("a", "sha-a-2.0")}
    assert len(merge.record.videos) == 3
    store.delete(merge.replaced)
    assert [path.name for path in store.shard_files()] == [merge.record.name]
    assert store.inspect(store.folder / merge.record.name) == merge.record


def test_one_shard_is_left_alone(store: FeatureStore) -> None:
    assert store.merge([store.publish([features("a", 3)], {})], {}) == []


def test_features_and_times_must_agree() -> None:
    with pytest.raises(ValueError, match=r"'a' have shape \(3, 5\) and 2 times"):
        VideoFeatures("a", FileState(1, 1, ""), np.zeros((3, 5), np.float16), np.zeros(2))


def flip(path: Path, table: str, row: int) -> None:
    with h5py.File(path, "r+") as file:
        values = file[table][:]
        values[row] = values[row] + values.dtype.type(1)
        file[table][:] = values


@pytest.mark.parametrize(("table", "row"), [("features", 4), ("times_s", 4), ("source_size", 1)])
def test_examination_goes_on_after_damage_and_names_it(store: FeatureStore, table: str, row: int) -> None:
    record = store.publish([features(name, 3) for name in ("a", "b", "c")], {"backbone": "x"})
    flip(store.folder / record.name, table, row)
    seen = store.examine(store.folder / record.name, record)
    assert (seen.rows, seen.damaged, set(seen.complaints)) == ((0, 2), ("b",), {"b"})
    assert seen.record.videos == (record.videos[0], record.videos[2])
    assert seen.provenance == {"backbone": "x"}


def test_a_sound_shard_is_examined_without_complaint(store: FeatureStore) -> None:
    record = store.publish([features("caf\udce9.avi", 3), features("empty", 0)], {})
    seen = store.examine(store.folder / record.name)
    assert (seen.record, seen.complaints, seen.damaged, seen.rows) == (record, {}, (), (0, 1))


def test_a_shard_that_cannot_be_opened_loses_all_that_was_recorded(store: FeatureStore) -> None:
    record = store.publish([features("a", 300), features("b", 3)], {})
    os.truncate(store.folder / record.name, 3000)
    seen = store.examine(store.folder / record.name, record)
    assert (seen.rows, seen.damaged, set(seen.complaints)) == ((), ("a", "b"), {""})


def test_rewriting_keeps_the_rows_asked_for_and_the_old_shard(store: FeatureStore) -> None:
    record = store.publish([features(name, n) for name, n in (("a", 3), ("b", 0), ("c", 5))], {"backbone": "x"})
    new = store.rewrite(store.folder / record.name, (1, 2))
    assert new.videos == record.videos[1:]
    assert store.inspect(store.folder / new.name) == new
    assert store.examine(store.folder / new.name).provenance == {"backbone": "x"}
    assert len(store.shard_files()) == 2


def test_rewriting_and_merging_refuse_damage(store: FeatureStore) -> None:
    record = store.publish([features("a", 3), features("b", 3)], {})
    other = store.publish([features("c", 3)], {})
    flip(store.folder / record.name, "features", 4)
    with pytest.raises(StoreError, match="'b' don't match"):
        store.rewrite(store.folder / record.name, (0, 1))
    with pytest.raises(StoreError, match="'b' don't match"):
        store.merge([record, other], {})
    assert len(list(store.folder.iterdir())) == 2


def test_shards_damaged_at_random_never_raise_and_what_is_kept_is_sound(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the numbers only: over damaged strings HDF5 may loop for ever, which is what the probe is for."""
    monkeypatch.setattr("mofore.cache.shard.probe", lambda *_args: "")
    record = store.publish([features(f"video{n}", n) for n in range(3, 9)], {})
    path, rng = store.folder / record.name, np.random.default_rng(0)
    whole = path.read_bytes()
    with h5py.File(path) as file:
        tables = [(file[name].id.get_offset(), file[name].nbytes) for name in ("features", "times_s", "offsets")]
    for number in range(90):
        start, size = tables[number % 3]
        at = start + int(rng.integers(size - 8))
        path.write_bytes(whole[:at] + rng.bytes(8) + whole[at + 8 :])
        seen = store.examine(path, record)
        assert seen.complaints
        assert set(seen.record.videos) | {v for v in record.videos if v.id in seen.damaged} == set(record.videos)


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("while True: pass", "does not come to an end with it within 0.5 s"),
        ("import os; os.abort()", "crashes over it (signal 6)"),
        ("raise OSError('no')", "OSError: no"),
        ("pass", ""),
    ],
)
def test_the_probe_survives_what_kills_or_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, complaint: str
) -> None:
    monkeypatch.setattr("mofore.cache.probe._SCRIPT", script)
    answer = probe(tmp_path / "x.h5", (), 0.5 if "while" in script else 30.0)
    assert answer.removeprefix("HDF5 ") == complaint
