"""Spans and moments of videos: the same frames as of the whole, however they are reached."""

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mofore.data.decode import decode, picture
from mofore.data.errors import UsageError, VideoError
from mofore.data.pictures import rgb
from mofore.data.sampling import Moments, Sampling, Span, Within
from mofore.data.stills import stills

RATE, FRAMES = 25, 400  # 16 s: far enough for a key frame to be looked for


def brightness(number: int) -> int:
    return 20 + number * 37 % 200


def write(path: Path, codec: str, frames: int = FRAMES) -> Path:
    """A video whose every frame is of another brightness than its neighbours."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options={"g": "40"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), brightness(number), np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    return path


def seen(path: Path, sampling: Sampling) -> list[tuple[float, int]]:
    """Time and brightness of frames."""
    return [(time_s, round(float(rgb(frame).mean()))) for frame, time_s in decode(path, sampling)]


CODECS = [(".avi", "mpeg4"), (".mp4", "libx264"), (".ts", "libx264"), (".mpg", "mpeg2video")]


@pytest.mark.parametrize(("suffix", "codec"), CODECS)
@pytest.mark.parametrize("span", [Span(0.4, 1.0), Span(13.0, 14.2), Span(15.0), Span(99.0)])
def test_a_span_is_the_same_frames_as_of_the_whole_video(tmp_path: Path, suffix: str, codec: str, span: Span) -> None:
    path = write(tmp_path / f"video{suffix}", codec)
    whole = seen(path, Sampling())
    expected = [found for found in whole if found[0] - whole[0][0] in span]
    assert seen(path, Within(span=span)) == expected
    assert bool(expected) is (span.start_s < 16)


def test_a_span_of_every_third_frame_is_counted_from_the_first(tmp_path: Path) -> None:
    path = write(tmp_path / "video.mp4", "libx264")
    times_s = [time_s for time_s, _ in seen(path, Within(stride=3, span=Span(11.0, 11.5)))]
    assert times_s == pytest.approx([276 / RATE, 279 / RATE, 282 / RATE, 285 / RATE])


def test_nothing_after_a_span_is_decoded(tmp_path: Path) -> None:
    path, ticks = write(tmp_path / "video.mp4", "libx264"), []
    assert len(list(decode(path, Within(span=Span(1.0, 2.0)), tick=lambda: ticks.append(1)))) == RATE
    assert len(ticks) == 2 * RATE + 1


@pytest.mark.parametrize(("start_s", "end_s"), [(2.0, 2.0), (3.0, 1.0), (-1.0, 2.0), (math.nan, 2.0)])
def test_a_span_without_length_is_refused(start_s: float, end_s: float) -> None:
    with pytest.raises(UsageError, match="seconds from the first frame are needed"):
        Span(start_s, end_s)


def test_moments_are_the_frames_shown_then_and_the_last_one_after_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "video.mp4", "libx264", 50)
    found = seen(path, Moments(moments_s=(0.0, 0.39, 0.4, 1.96, 7.0)))
    assert [time_s for time_s, _ in found] == pytest.approx([0.0, 0.4, 0.4, 1.96, 1.96])


def test_stills_are_the_middles_of_equal_parts(tmp_path: Path) -> None:
    path = write(tmp_path / "video.mp4", "libx264", 100)
    assert [round(float(still.mean())) for still in stills(path, 4)] == pytest.approx(
        [brightness(number) for number in (13, 38, 63, 88)], abs=3
    )
    inside = stills(path, 2, Span(1.0, 2.0))
    assert [round(float(still.mean())) for still in inside] == pytest.approx([brightness(32), brightness(44)], abs=3)


def test_stills_of_a_long_video_are_looked_for_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path / "video.mp4", "libx264", 2000)
    expected = [brightness(math.ceil((part + 0.5) * 500)) for part in range(4)]
    assert [round(float(still.mean())) for still in stills(path, 4)] == pytest.approx(expected, abs=3)


def test_an_image_is_its_own_still(tmp_path: Path) -> None:
    path = tmp_path / "bild ü.png"
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)).save(path)
    assert picture(path).tolist() == np.arange(12).reshape(2, 2, 3).tolist()
    assert [still.shape for still in stills(path, 4)] == [(2, 2, 3)]
    with pytest.raises(VideoError, match="cannot be opened"):
        stills(tmp_path / "gone.png", 4)
