"""Two parts on the processor stand for two GPUs: what differs is where a batch is computed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mofore.data.types import Video
from mofore.stages.extract_parts import share_out
from mofore.tests.stages.faulty_readers import misbehaving
from mofore.tests.stages.test_extract import Job, StopsAfter


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mofore.stages.extract.pick_devices", lambda _wish: [torch.device("cpu")] * 2)


def test_videos_are_shared_out_by_size_and_keep_their_order() -> None:
    videos = [Video(f"{n}", None, None, size, 0) for n, size in enumerate([5, 90, 5, 40, 50])]
    first, second = share_out(videos, 2)
    assert [video.id for video in first] == ["0", "1"]
    assert [video.id for video in second] == ["2", "3", "4"]


@pytest.mark.usefixtures("two_devices")
def test_two_parts_make_what_one_makes(drawn: Path, tmp_path: Path) -> None:
    both = Job(drawn, tmp_path / "both")
    result = both.run()
    assert (result.videos, result.frames, result.failures) == (20, 480, [])
    assert len(both.store.shard_files()) == 1, "merged at the end"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mofore.stages.extract.pick_devices", lambda _wish: [torch.device("cpu")])
        alone = Job(drawn, tmp_path / "alone")
        alone.run()
    features, expected = both.features(), alone.features()
    assert features.keys() == expected.keys()
    assert all(np.array_equal(features[name], expected[name]) for name in expected)


@pytest.mark.usefixtures("two_devices")
def test_an_interrupt_reaches_every_part_and_loses_nothing_finished(drawn: Path, tmp_path: Path) -> None:
    job = Job(drawn, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        job.run(progress=StopsAfter(3))
    kept = {video.id for record in job.ledger.shards["enc"].values() for video in record.videos}
    assert set(job.features()) == kept
    assert len(kept) >= 3


@pytest.mark.usefixtures("two_devices")
def test_failures_of_all_parts_are_recorded(videos: Path, tmp_path: Path) -> None:
    for number in range(4):
        (videos / f"broken{number}.avi").write_text("no video")
    job = Job(videos, tmp_path / "work")
    result = job.run(read=misbehaving)
    assert len(result.failures) == len(job.ledger.failures["enc"]) == 4
    assert result.videos == 20
