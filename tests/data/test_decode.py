from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mofore.data.decode import decode, expected_frames
from mofore.data.errors import VideoError
from mofore.data.motion import write_video
from mofore.data.pictures import UPRIGHT, orientation, rgb
from mofore.data.sampling import Sampling


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten frames whose brightness is 20 times their number."""
    path = tmp_path / "ramp.avi"
    pictures = np.repeat(np.arange(10, dtype=np.uint8)[:, None] * 20, 50 * 30 * 3, axis=1).reshape(10, 30, 50, 3)
    write_video(path, pictures)
    return path


def test_every_frame_comes_in_order_with_its_time(clip: Path) -> None:
    frames = [(rgb(frame), time_s) for frame, time_s in decode(clip)]
    assert len(frames) == 10
    assert frames[0][0].shape == (30, 50, 3)
    assert [round(float(picture.mean()) / 20) for picture, _ in frames] == list(range(10))
    steps_s = np.diff([time_s for _, time_s in frames])
    assert np.allclose(steps_s, 1 / 25)


def test_variable_frame_times_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "variable.mkv"
    ticks = [0, 40, 80, 500, 540]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        stream.codec_context.time_base = Fraction(1, 1000)
        for tick in ticks:
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), tick % 255, np.uint8), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert [round(1000 * time_s) for _, time_s in decode(path)] == ticks


def test_a_text_file_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "text.avi"
    path.write_text("not a video, whatever its name says\n" * 50)
    with pytest.raises(VideoError, match="not a readable video: invalid data"):
        list(decode(path))


def test_a_truncated_clip_is_refused_rather_than_taken_for_a_shorter_one(clip: Path) -> None:
    whole = clip.read_bytes()
    clip.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match=f"truncated: {len(whole) // 2:,} bytes of the {len(whole):,}"):
        list(decode(clip))


def test_an_unfinished_header_promises_nothing(clip: Path) -> None:
    whole = bytearray(clip.read_bytes())
    whole[4:8] = b"\x00" * 4
    clip.write_bytes(whole)
    assert len(list(decode(clip))) == 10


def test_an_empty_file_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "empty.avi"
    path.touch()
    with pytest.raises(VideoError, match="not a readable video"):
        list(decode(path))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="no video stream"):
        list(decode(path))


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="cannot be opened: No such file"):
        list(decode(tmp_path / "gone.avi"))


def test_frames_that_are_not_kept_are_passed_over(clip: Path) -> None:
    kept = [(round(float(rgb(frame).mean()) / 20), time_s) for frame, time_s in decode(clip, Sampling(fps=5))]
    assert [level for level, _ in kept] == [0, 5]
    assert kept[1][1] - kept[0][1] == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["caf\udce9.avi", "a:b.avi", "x%03d.avi", "a*[1]?.avi", "n" * 251 + ".avi", "ü ö.avi"])
def test_any_name_of_a_file_will_do(name: str, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clip.parent)
    clip.rename(name)
    assert len(list(decode(Path(name)))) == 10
    assert expected_frames(Path(name)) == 10


def test_a_path_that_is_too_long_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="cannot be opened: File name too long"):
        list(decode(tmp_path / ("n" * 300 + ".avi")))


def test_links_that_lead_nowhere_are_said_so(tmp_path: Path) -> None:
    (tmp_path / "loop.avi").symlink_to(tmp_path / "loop.avi")
    (tmp_path / "dangling.avi").symlink_to(tmp_path / "nowhere.avi")
    with pytest.raises(VideoError, match="cannot be opened: Too many levels"):
        list(decode(tmp_path / "loop.avi"))
    with pytest.raises(VideoError, match="cannot be opened: No such file"):
        list(decode(tmp_path / "dangling.avi"))


def test_a_file_that_may_not_be_read_says_so(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # not chmod, which does not stop root
    with pytest.raises(VideoError, match="cannot be opened: Permission denied"):
        list(decode(clip))


def test_an_upright_picture_is_not_copied(clip: Path) -> None:
    frame, _ = next(decode(clip))
    assert orientation(frame) == UPRIGHT
    assert not rgb(frame).flags.owndata


def test_tags_in_another_encoding_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "tagged.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Cafe"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for packet in [*stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))), *stream.encode()]:
            container.mux(packet)
    content = path.read_bytes()
    assert content.count(b"Cafe") == 1
    path.write_bytes(content.replace(b"Cafe", b"Caf\xe9"))  # Latin-1
    assert len(list(decode(path))) == 1
