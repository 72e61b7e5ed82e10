"""Videos whose disk goes away: they are left to be done, and nothing is said against them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mofore.cache.partial import PartialVideo
from mofore.data.catalog import scan
from mofore.data.decode import decode
from mofore.data.errors import StageError
from mofore.data.motion import write_video
from mofore.data.pictures import rgb
from mofore.stages.decode.source import read_video
from mofore.stages.extract.shard_writer import LOST_IN_A_ROW
from mofore.tests.stages.extract.test_stage import SETTINGS, Job
from mofore.tests.stages.faulty_readers import misbehaving


@pytest.fixture
def lost(videos: Path) -> list[str]:
    """Three of the 20 videos are going to be out of reach at their first try."""
    names = []
    for number, video in enumerate(scan(videos).videos[4:16:4]):
        path = videos / video.id
        path.rename(path.with_name(f"lost_once{number}.avi"))
        names.append(str(path.with_name(f"lost_once{number}.avi").relative_to(videos)))
    return names


def test_videos_out_of_reach_are_told_of_and_left_to_be_done(videos: Path, tmp_path: Path, lost: list[str]) -> None:
    job, whole = Job(videos, tmp_path / "cut"), Job(videos, tmp_path / "whole")
    whole.run()
    with pytest.raises(StageError, match=r"3 videos were out of reach(.|\n)*3  cannot be read: Input/output error"):
        job.run(read=misbehaving)
    assert not job.ledger.failures
    assert set(job.features()) == {video.id for video in job.catalog.videos} - set(lost)
    job.run(read=misbehaving)
    expected = whole.features()
    assert job.features().keys() == expected.keys()
    assert all(np.array_equal(rows, expected[name]) for name, rows in job.features().items())


def test_many_in_a_row_stop_the_run(drawn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(30):
        shutil.copy(drawn / scan(drawn).videos[0].id, folder / f"lost{number:02}.avi")
    job = Job(folder, tmp_path)
    with pytest.raises(StageError, match=f"^{LOST_IN_A_ROW} videos in a row were out of reach.*run the same command"):
        job.run(read=misbehaving)
    assert not job.ledger.failures


def test_a_long_video_goes_on_where_its_disk_went(drawn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    pictures = [rgb(frame) for video in scan(drawn).videos for frame, _ in decode(drawn / video.id)]
    write_video(folder / "lost_late_once.avi", np.stack(pictures[:200]))
    whole, cut = Job(folder, tmp_path / "whole"), Job(folder, tmp_path / "cut")
    whole.run()
    with pytest.raises(StageError, match="1 video was out of reach"):
        cut.run(replace(SETTINGS, shard_seconds=0.0), read=misbehaving)
    commit = PartialVideo(cut.store.partial_folder, "lost_late_once.avi").committed()
    assert commit is not None
    assert commit.frames >= 64
    cut.run(read=read_video)
    assert np.array_equal(cut.features()["lost_late_once.avi"], whole.features()["lost_late_once.avi"])
    assert not cut.store.partial_folder.exists()


def test_rows_that_another_run_wrote_too_are_not_taken(tmp_path: Path) -> None:
    features_TD, times_s_T = np.ones((4, 3), np.float16), np.arange(4.0)
    first, second = PartialVideo(tmp_path, "a.avi"), PartialVideo(tmp_path, "a.avi")
    first.begin()
    first.append(features_TD, times_s_T)
    assert np.array_equal(first.rows()[0], features_TD)
    second.append(features_TD, times_s_T)
    first.append(features_TD, times_s_T + 4)
    with pytest.raises(StageError, match="another run is at work"):
        first.rows()
