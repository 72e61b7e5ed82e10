"""What containers promise is believed as far as it can be."""

from pathlib import Path

import pytest

from mofore.data.decode import _believed, duration_s, expected_frames
from mofore.tests.trials.times import Film, try_write


@pytest.mark.parametrize(
    ("frames", "seconds", "size", "believed"),
    [
        (250, 10.0, 100_000, (250, 10.0)),
        (10_000_000, 10.0, 100_000, (0, 10.0)),  # a rate of 1,000,000
        (90_000, 100.0, 50_000, (0, 100.0)),  # more frames than bytes
        (5, 1e12, 100_000, (5, 0.0)),
        (-3, -1.0, 100_000, (0, 0.0)),
        (100, 0.0, 100_000, (100, 0.0)),
    ],
)
def test_what_cannot_be_is_not_believed(frames: int, seconds: float, size: int, believed: tuple[int, float]) -> None:
    assert _believed(frames, seconds, size) == believed


def test_an_ordinary_file_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    if not try_write(path, Film("mpeg4", ".mp4")):
        pytest.skip("this FFmpeg cannot write it")
    assert expected_frames(path) == 40
    assert duration_s(path) == pytest.approx(1.6)
