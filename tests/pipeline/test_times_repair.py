"""Work folders of an earlier version, whose stored times run backwards: sorted in place; what reads them follows."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import Result

from mofore.cache.ledger import Ledger, StoredVideo
from mofore.cache.shard import VideoFeatures, sound_videos
from mofore.cache.store import FeatureStore
from mofore.data.arrays import Float64
from mofore.tests.pipeline.test_rerun import actions, plan_of

Command = Callable[..., Result]
BACKWARDS = 3  # videos


def swapped(times_s: Float64) -> Float64:
    """As packed B-frames have them: every second one changed with the next."""
    order = np.arange(len(times_s))
    order[1:-1:2], order[2::2][: len(order[1:-1:2])] = order[2::2][: len(order[1:-1:2])].copy(), order[1:-1:2].copy()
    return times_s[order]


@pytest.fixture
def old(work: Path) -> Path:
    """The finished work folder as an earlier version left it."""
    ledger = Ledger.open(work / "ledger.jsonl")
    for folder in work.glob("features/*"):
        store = FeatureStore(folder)
        for path in store.shard_files():
            spoil(store, path, ledger)
    return work


def spoil(store: FeatureStore, path: Path, ledger: Ledger) -> None:
    found = list(sound_videos(path))
    videos = [
        replace(video, times_s_T=swapped(video.times_s_T)) if row < BACKWARDS else video
        for row, (video, _) in enumerate(found)
    ]
    records = tuple(video.record() for video in videos)
    ledger.add_shard(store._publish(path, iter(videos), records, store.encoder() or {}, rising=False))


def stored(work: Path) -> list[tuple[str, Float64, Any, str]]:
    """Of every video of the only shard: id, times, features, digest."""
    (path,) = work.glob("features/*/*.h5")
    with h5py.File(path) as file:
        offsets, ids = file["offsets"][:], file["video_id"].asstr()[:]
        digests = file["digest"].asstr()[:]
        return [
            (ids[row], file["times_s"][start:end], file["features"][start:end], digests[row])
            for row, (start, end) in enumerate(pairwise(offsets))
        ]


def test_status_says_so_beforehand(mofore: Command, old: Path) -> None:
    assert sum((np.diff(times_s) < 0).any() for _, times_s, _, _ in stored(old)) == BACKWARDS
    plan = plan_of(mofore, old)
    assert plan["extract"]["action"] == "partial"
    assert plan["extract"]["todo"] == 0
    assert f"the stored times of {BACKWARDS} videos run backwards" in plan["extract"]["reasons"][0]  # type: ignore[index]
    assert plan["fit"]["reasons"] == ["upstream: extract runs first"]


def test_only_the_order_of_times_changes(mofore: Command, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stored(old)
    monkeypatch.setattr("mofore.stages.decode.source.decode", None)
    monkeypatch.setattr("mofore.stages.extract.stage.run", None)  # whoever decodes, fails
    result = mofore("run", "-w", old)
    assert result.exit_code == 0, result.output
    assert f"the times of {BACKWARDS} videos were sorted" in result.stderr
    for (name, times_s, features_TD, digest), (name_after, sorted_s, features_after_TD, digest_after) in zip(
        before, stored(old), strict=True
    ):
        assert name == name_after
        assert sorted_s.tolist() == np.sort(times_s).tolist()
        assert features_TD.tobytes() == features_after_TD.tobytes()
        assert (digest == digest_after) == (times_s.tolist() == sorted_s.tolist())
    assert actions(mofore, old) == {"extract": "skip", "fit": "skip", "evaluate": "skip", "index": "skip"}


def test_fits_are_of_the_sorted_times(mofore: Command, old: Path) -> None:
    result = mofore("run", "-w", old)
    assert result.stderr.count("up to date") == 4, "what was made of these times is found again"


def test_readers_have_them_sorted_before_that(old: Path) -> None:
    (folder,) = old.glob("features/*")
    store = FeatureStore(folder)
    (record,) = Ledger.open(old / "ledger.jsonl").shards[store.key].values()
    wanted = [(record.name, row, video) for row, video in enumerate(record.videos)]
    for table in (store.load(wanted), store.attach(wanted)):
        starts = table.offsets[1:-1]
        steps = np.diff(table.times_s_N)
        assert (np.delete(steps, starts - 1) > 0).all()


def test_a_repair_that_is_killed_is_taken_up(mofore: Command, old: Path) -> None:
    (path,) = old.glob("features/*/*.h5")
    FeatureStore(path.parent).repair_times(path)  # replaced, and the ledger was never told
    assert actions(mofore, old)["extract"] == "skip"
    assert mofore("run", "-w", old).exit_code == 0
    assert actions(mofore, old) == {"extract": "skip", "fit": "skip", "evaluate": "skip", "index": "skip"}


def test_sound_shards_of_an_earlier_version_are_looked_at_once(
    mofore: Command, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = work / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace(',"rising":true', ""))
    assert actions(mofore, work)["extract"] == "skip"
    assert mofore("run", "-w", work).exit_code == 0
    monkeypatch.setattr(FeatureStore, "backwards", None)
    assert actions(mofore, work)["extract"] == "skip"


def test_what_does_not_rise_is_not_published(work: Path) -> None:
    (folder,) = work.glob("features/*")
    (record,) = Ledger.open(work / "ledger.jsonl").shards[folder.name].values()
    video: StoredVideo = record.videos[0]
    backwards = VideoFeatures(video.id, video.source, np.zeros((2, 3), np.float16), np.array([0.1, 0.0]))
    with pytest.raises(ValueError, match="do not rise strictly"):
        FeatureStore(folder).publish([backwards], {})
