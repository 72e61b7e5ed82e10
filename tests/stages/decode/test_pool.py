import shutil
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mofore.data.catalog import scan
from mofore.data.decode import decode
from mofore.data.pictures import rgb
from mofore.data.types import Failure
from mofore.stages.decode.device_preprocess import preprocess_planes
from mofore.stages.decode.pool import DecodePool, PoolSettings, VideoFailed, VideoFinished, VideoFrames, VideoStarted
from mofore.stages.decode.preprocess import Preprocess
from mofore.stages.decode.source import Reading, Resume, read_video
from mofore.stages.decode.worker import Reader
from mofore.tests.stages.faulty_readers import misbehaving

PREPROCESS = Preprocess((32, 48), (32, 48), "squash", "bilinear", (0.5,) * 3, (0.5,) * 3)


class Seen:
    """What came out of a pool: frames and times by video, failures, and the processes that did it."""

    def __init__(
        self,
        root: Path,
        read: Reader = read_video,
        workers: int = 2,
        stall_s: float = 60.0,
        planes: bool = False,
        **options: Any,
    ) -> None:
        self.frames: dict[str, list[np.ndarray]] = defaultdict(list)
        self.times: dict[str, list[float]] = defaultdict(list)
        self.failures: dict[str, Failure] = {}
        self.starts: dict[str, int] = defaultdict(int)
        self.finished: list[str] = []
        names: dict[int, str] = {}
        reading = Reading(PREPROCESS, planes=planes)
        videos = scan(root).videos
        with DecodePool(root, videos, reading, PoolSettings(workers, stall_s, read), **options) as pool:
            for event in pool:
                self.processes = [lane.process for lane in pool._lanes]
                match event:
                    case VideoStarted():
                        names[event.key] = event.video.id
                        self.starts[event.video.id] += 1
                        self.frames[event.video.id], self.times[event.video.id] = [], []
                    case VideoFrames():
                        self.frames[names[event.key]].append(pixels_of(event))
                        self.times[names[event.key]].extend(event.times_s)
                    case VideoFinished():
                        self.finished.append(names[event.key])
                    case VideoFailed():
                        self.failures[event.failure.video_id] = event.failure


def pixels_of(event: VideoFrames) -> np.ndarray:
    if event.layout is None:
        return event.pixels.permute(0, 3, 1, 2).numpy().copy()
    return preprocess_planes(event.pixels, event.layout, PREPROCESS).numpy().copy()


def expected(path: Path) -> np.ndarray:
    return PREPROCESS(torch.from_numpy(np.stack([rgb(frame) for frame, _ in decode(path)]))).numpy()


def test_every_frame_of_every_video_comes_once_and_in_order(drawn: Path) -> None:
    seen = Seen(drawn)
    assert len(seen.finished) == 20
    for video_id, pieces in seen.frames.items():
        assert np.array_equal(np.concatenate(pieces), expected(drawn / video_id))
        assert seen.times[video_id] == [time_s for _, time_s in decode(drawn / video_id)]
    assert not any(process.is_alive() for process in seen.processes)


def test_frames_can_come_as_planes_for_the_device_to_preprocess(drawn: Path) -> None:
    seen = Seen(drawn, planes=True)
    for video_id, pieces in seen.frames.items():
        difference = np.concatenate(pieces).astype(int) - expected(drawn / video_id)
        assert np.abs(difference).max() <= 1, "the float and the byte kernels round apart by one at most"


def test_frames_that_are_known_do_not_come_again(drawn: Path) -> None:
    from mofore.cache.fingerprint import file_state

    victim = scan(drawn).videos[0].id
    resume = {victim: Resume(10, file_state(drawn / victim).sha256)}
    seen = Seen(drawn, resume=resume.get)
    assert np.array_equal(np.concatenate(seen.frames[victim]), expected(drawn / victim)[10:])
    stale = Seen(drawn, resume={victim: Resume(10, "of another content")}.get)
    assert len(np.concatenate(stale.frames[victim])) == 24


@pytest.fixture
def trouble(drawn: Path, tmp_path: Path) -> Path:
    """Ten sound clips, and one for each way to misbehave."""
    folder = tmp_path / "videos"
    folder.mkdir()
    clips = [drawn / video.id for video in scan(drawn).videos]
    for number, clip in enumerate(clips[:10]):
        shutil.copy(clip, folder / f"sound{number}.avi")
    return folder


def test_a_decoder_that_crashes_takes_down_its_own_video_alone_after_a_second_try(trouble: Path, drawn: Path) -> None:
    clip = drawn / scan(drawn).videos[0].id
    shutil.copy(clip, trouble / "crash.avi")
    shutil.copy(clip, trouble / "crash_once.avi")
    seen = Seen(trouble, misbehaving)
    assert {name: failure.reason for name, failure in seen.failures.items()} == {
        "crash.avi": "the decoder crashed (SIGSEGV)"
    }
    assert seen.starts["crash.avi"] == seen.starts["crash_once.avi"] == 2
    assert len(seen.finished) == 11
    assert np.array_equal(np.concatenate(seen.frames["crash_once.avi"]), expected(clip))


def test_a_decoder_that_hangs_is_stopped(trouble: Path, drawn: Path) -> None:
    shutil.copy(drawn / scan(drawn).videos[0].id, trouble / "hang.avi")
    begin = time.monotonic()
    seen = Seen(trouble, misbehaving, stall_s=0.6)
    assert seen.failures["hang.avi"].reason == "the decoder hung: no frame for 0.6 s"
    assert seen.failures["hang.avi"].source.sha256, "known from the start of the video"
    assert len(seen.finished) == 10
    assert time.monotonic() - begin < 60
    assert not any(process.is_alive() for process in seen.processes)


def test_a_consumer_that_takes_its_time_is_no_hang(trouble: Path) -> None:
    reading = Reading(PREPROCESS, piece_frames=2)
    finished = 0
    with DecodePool(trouble, scan(trouble).videos, reading, PoolSettings(2, 0.3)) as pool:
        for number, event in enumerate(pool):
            if number in (3, 20):
                time.sleep(0.8)
            finished += isinstance(event, VideoFinished)
            assert not isinstance(event, VideoFailed)
    assert finished == 10


def test_an_error_of_python_is_a_failure_of_that_video(trouble: Path, drawn: Path) -> None:
    shutil.copy(drawn / scan(drawn).videos[0].id, trouble / "raise.avi")
    seen = Seen(trouble, misbehaving)
    assert seen.failures["raise.avi"].reason == "unexpected ZeroDivisionError: made up"
    assert len(seen.finished) == 10


def test_a_file_that_changes_while_it_is_read_is_read_once_more(trouble: Path, drawn: Path) -> None:
    clip = drawn / scan(drawn).videos[0].id
    shutil.copy(clip, trouble / "touch.avi")
    shutil.copy(clip, trouble / "touch_once.avi")
    seen = Seen(trouble, misbehaving)
    assert seen.failures["touch.avi"].reason == "the file changed while it was read: run again"
    assert "touch_once.avi" in seen.finished
    assert len(np.concatenate(seen.frames["touch_once.avi"])) == 24


def test_files_that_are_no_videos_fail_at_the_first_try(trouble: Path) -> None:
    (trouble / "text.avi").write_text("no video")
    (trouble / "empty.avi").touch()
    seen = Seen(trouble)
    assert set(seen.failures) == {"text.avi", "empty.avi"}
    assert len(seen.finished) == 10


def test_leaving_early_ends_every_worker(drawn: Path) -> None:
    with DecodePool(drawn, scan(drawn).videos, Reading(PREPROCESS), PoolSettings(2, 60.0)) as pool:
        next(iter(pool))
        processes = [lane.process for lane in pool._lanes]
        assert all(process.is_alive() for process in processes)
    assert not any(process.is_alive() for process in processes)
