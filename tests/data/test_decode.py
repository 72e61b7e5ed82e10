from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from mofore.data.decode import decode, rgb
from mofore.data.errors import VideoError
from mofore.data.motion import write_video


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
