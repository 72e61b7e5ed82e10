"""A job that several processes share."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mofore.data.progress import Silent
from mofore.data.settings import ExtractSettings
from mofore.data.types import Video
from mofore.stages.extract.many_devices import Handout
from mofore.stages.machine.device import Place, pick_places
from mofore.tests.stages.backbone.own_backbones import HERE
from mofore.tests.stages.extract.test_stage import Job, StopsAfter
from mofore.tests.stages.faulty_readers import misbehaving


class Notes(Silent):
    """Keeps what was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two parts of the processor, which may be the same core, share whatever takes a moment."""
    cpu = torch.device("cpu")
    first, *others = [core for place in pick_places("cpu") for core in place.cores]
    places = [Place(cpu, (first,)), Place(cpu, (others[-1] if others else first,))]
    monkeypatch.setattr("mofore.stages.extract.stage.pick_places", lambda *_: places)
    monkeypatch.setattr("mofore.stages.extract.stage.SHARING_REPAYS_S", 0.0)
    monkeypatch.setattr("mofore.stages.extract.one_device.KNOWN_AFTER_S", 1e-4)


def sized(*sizes: int) -> list[Video]:
    return [Video(f"{number}", None, None, size, 0) for number, size in enumerate(sizes)]


def test_large_videos_are_handed_out_first_and_all_of_them_once() -> None:
    handout = Handout(sized(5, 90, 5, 40, 50), 2)
    assert [[video.id for video in handout.take()] for _ in range(6)] == [["1"], ["4"], ["3"], ["0"], ["2"], []]


def test_helpings_become_smaller_towards_the_end() -> None:
    handout = Handout(sized(*[1] * 1000), 2)
    counts = []
    while helping := handout.take():
        counts.append(len(helping))
    assert sum(counts) == 1000
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (64, 1)


def test_the_cores_of_the_processor_are_shared_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mofore.stages.machine.device.usable_cores", lambda: tuple(range(10)))
    assert [place.cores for place in pick_places("cpu")] == [(0, 1), (2, 3, 4), (5, 6), (7, 8, 9)]
    assert [len(place.cores) for place in pick_places("cpu", 20)] == [1] * 10
    assert [place.cores for place in pick_places("cpu", 1)] == [tuple(range(10))]


@pytest.mark.usefixtures("two_devices")
def test_windows_of_a_clip_backbone_are_the_same_from_several_processes(drawn: Path, tmp_path: Path) -> None:
    settings = ExtractSettings(backbone=f"{HERE}:make_clips", precision="fp32", hop=4, batch_size=24)
    whole, shared, told = Job(drawn, tmp_path / "whole"), Job(drawn, tmp_path / "shared"), Notes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mofore.stages.extract.stage.pick_places", lambda *_: [Place(torch.device("cpu"))])
        whole.run(settings)
    shared.run(settings, progress=told)
    assert any("shared by 2 processes" in note for note in told.notes)
    assert len(shared.features()) == 20
    assert all(np.array_equal(rows, whole.features()[name]) for name, rows in shared.features().items())


@pytest.mark.usefixtures("two_devices")
def test_a_single_video_is_not_shared(drawn: Path, tmp_path: Path) -> None:
    job = Job(drawn, tmp_path)
    job.catalog = replace(job.catalog, videos=job.catalog.videos[:1])
    told = Notes()
    job.run(progress=told)
    assert not [note for note in told.notes if "shared" in note]


@pytest.mark.usefixtures("two_devices")
def test_two_parts_make_what_one_makes(drawn: Path, tmp_path: Path) -> None:
    both, told = Job(drawn, tmp_path / "both"), Notes()
    result = both.run(progress=told)
    assert any("shared by 2 processes" in note for note in told.notes)
    assert (result.videos, result.frames, result.failures) == (20, 480, [])
    assert len(both.store.shard_files()) == 1, "merged at the end"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mofore.stages.extract.stage.pick_places", lambda *_: [Place(torch.device("cpu"))])
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
