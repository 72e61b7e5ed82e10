"""Pictures that the decoder made up are counted, and refused unless they are to be kept."""

from pathlib import Path

import av
import pytest
from av.error import FFmpegError

from mofore.data.damage import Damage
from mofore.data.decode import decode
from mofore.data.errors import VideoError
from mofore.data.types import Failure, Video
from mofore.stages.decode.preprocess import Preprocess
from mofore.stages.decode.source import Finished, Frames, Reading, read_video
from mofore.tests.trials.times import LONG, Film, write

SMALL = Preprocess((16, 16), (16, 16), "squash", "bilinear", (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(scope="module")
def concealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, int]:
    """A clip of which the decoder hides the damage; its frames, and how many it marks."""
    path = tmp_path_factory.mktemp("damage") / "clip.avi"
    write(path, Film("mpeg4", ".avi", 0, LONG))
    whole = path.read_bytes()
    for step in range(197, 400, 2):
        content = bytearray(whole)
        for number in range(40):
            content[len(whole) // 3 + number * step] ^= 255
        path.write_bytes(content)
        try:
            with av.open(str(path)) as container:
                marks = [frame.is_corrupt for frame in container.decode(video=0)]
        except FFmpegError:
            continue
        if sum(marks) > 3:
            return path, len(marks), sum(marks)
    pytest.skip("this FFmpeg marks nothing")


def events(path: Path, *, keep: bool) -> list[object]:
    state = path.stat()
    video = Video(path.name, None, None, state.st_size, state.st_mtime_ns)
    return list(read_video(path, video, Reading(SMALL, keep_damaged=keep)))


def test_marked_frames_are_counted(concealed: tuple[Path, int, int]) -> None:
    path, frames, marked = concealed
    damage = Damage()
    list(decode(path, damage=damage))
    assert (damage.frames, damage.marked, damage.errors) == (frames, marked, 0)
    with pytest.raises(VideoError, match=f"the decoder marks {marked} of {frames} frames as corrupt; `--set"):
        damage.refuse()


def test_a_video_with_marked_frames_is_refused_with_their_number(concealed: tuple[Path, int, int]) -> None:
    path, frames, marked = concealed
    last = events(path, keep=False)[-1]
    assert isinstance(last, Failure)
    assert f"{marked} of {frames} frames" in last.reason


def test_it_is_stored_on_demand_and_said(concealed: tuple[Path, int, int]) -> None:
    path, frames, marked = concealed
    found = events(path, keep=True)
    assert sum(len(event.times_s) for event in found if isinstance(event, Frames)) == frames
    assert found[-1] == Finished(f"{marked} of {frames} frames as corrupt")


def test_a_whole_video_has_none(tmp_path: Path) -> None:
    write(tmp_path / "clip.avi", Film("mpeg4", ".avi"))
    assert events(tmp_path / "clip.avi", keep=False)[-1] == Finished()


@pytest.mark.real
def test_real_clips_have_none(shared: Path) -> None:
    for path in sorted((shared / "data" / "ucf101-mini" / "videos").rglob("*.avi"))[::15]:
        damage = Damage()
        list(decode(path, damage=damage))
        assert not damage.found, path
