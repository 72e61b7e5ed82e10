from dataclasses import replace
from pathlib import Path

import pytest

from mofore.data.damage import Damage
from mofore.data.decode import decode
from mofore.data.sampling import Span, Within
from mofore.tests.trials.times import LONG, REFRESHED, Film, span_complaint, try_write

SPAN = (12.12, 12.4)


def made(folder: Path, film: Film) -> Path:
    path = folder / f"film{film.suffix}"
    if not try_write(path, film):
        pytest.skip(f"this FFmpeg cannot write {film}")
    return path


def decoded(path: Path) -> int:
    """Frames that are decoded for the span."""
    ticks = []
    list(decode(path, Within(span=Span(*SPAN)), tick=lambda: ticks.append(1)))
    return len(ticks)


FILMS = [
    Film("libx264", ".mp4", 2, LONG, {"g": "50"}),
    Film("libx264", ".mp4", 0, LONG, REFRESHED),
    Film("libx264", ".mkv", 0, LONG, REFRESHED, copied_from=".ts"),
    Film("libx264", ".mkv", 3, LONG, {"x264-params": "open-gop=1:keyint=40"}),
    Film("libx264", ".mkv", 2, LONG, {"g": "50"}, copied_from=".avi"),
    Film("libx264", ".ts", 2, LONG, {"g": "50"}),
    Film("mpeg2video", ".mpg", 2, LONG),
    Film("mpeg4", ".mkv", 2, LONG, copied_from=".avi"),
    Film("mpeg4", ".mp4", 0, LONG),
    Film("libvpx-vp9", ".webm", 0, LONG, {"g": "50"}),
]


@pytest.mark.parametrize("film", FILMS, ids=lambda film: f"{film} {film.options or ''}")
def test_a_span_is_the_same_span_of_a_whole_decode(film: Film, tmp_path: Path) -> None:
    assert span_complaint(made(tmp_path, film), SPAN) == ""


@pytest.mark.parametrize("film", [FILMS[0], FILMS[8], FILMS[9]], ids=str)
def test_a_file_with_true_times_is_entered_at_a_key_frame(film: Film, tmp_path: Path) -> None:
    assert decoded(made(tmp_path, film)) < 100


@pytest.mark.parametrize("film", [FILMS[1], FILMS[2], FILMS[4], FILMS[5], FILMS[6], FILMS[7]], ids=str)
def test_what_cannot_be_shown_to_be_safe_is_decoded_from_the_start(film: Film, tmp_path: Path) -> None:
    assert decoded(made(tmp_path, film)) > 300


@pytest.mark.parametrize("film", FILMS, ids=lambda film: f"{film} {film.options or ''}")
def test_entering_a_whole_file_shows_no_damage(film: Film, tmp_path: Path) -> None:
    damage = Damage()
    list(decode(made(tmp_path, film), Within(span=Span(*SPAN)), damage=damage))
    assert not damage.found


def test_damage_before_the_entry_is_forgotten() -> None:
    damage = Damage(frames=1)
    earlier = replace(damage)
    damage.frames, damage.marked = 9, 3
    damage.error("no reference")
    damage.forget(earlier)
    assert damage == Damage(frames=1)
