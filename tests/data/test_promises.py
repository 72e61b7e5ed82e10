"""What containers promise is believed as far as it can be."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import pytest

from mofore.data import decode as decode_module
from mofore.data.decode import believable_rate, decode, duration_s, expected_frames
from mofore.tests.trials.times import Film, try_write


@dataclass
class Stream:
    average_rate: Fraction | None
    guessed_rate: Fraction | None


@pytest.mark.parametrize(
    ("average", "guessed", "rate"),
    [(25, 50, 25), (60_000, 25, 25), (None, 30, 30), (1_000_000, 1_000_000, None), (None, None, None)],
)
def test_the_rate_is_the_first_that_can_be(average: int | None, guessed: int | None, rate: float | None) -> None:
    one, other = (None if number is None else Fraction(number) for number in (average, guessed))
    assert believable_rate(Stream(one, other)) == rate  # type: ignore[arg-type]


def made(folder: Path, film: Film) -> Path:
    path = folder / f"film{film.suffix}"
    if not try_write(path, film):
        pytest.skip(f"this FFmpeg cannot write {film}")
    return path


def test_an_ordinary_file_is_believed(tmp_path: Path) -> None:
    path = made(tmp_path, Film("mpeg4", ".mp4"))
    assert expected_frames(path) == 40
    assert duration_s(path) == pytest.approx(1.6)


def test_raw_dv_promises_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "film.dv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("dvvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
        for number in range(5):
            frame = av.VideoFrame(720, 576, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        assert float(container.streams.video[0].average_rate or 0) > 1000, "the absurd header that this is about"
    times_s = [time_s for _, time_s in decode(path)]
    assert expected_frames(path) == len(times_s) == 5
    assert times_s == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16])


def test_more_frames_than_bytes_and_centuries_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path, Film("libx264", ".mkv"))
    assert expected_frames(path) == 40
    monkeypatch.setattr(decode_module, "LONGEST_S", 1.0)
    assert duration_s(path) == 0.0
    assert expected_frames(path) == 0
    monkeypatch.undo()
    monkeypatch.setattr(decode_module, "believable_rate", lambda _stream: 1e6)
    assert expected_frames(path) == 0
