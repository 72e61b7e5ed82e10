import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mofore.data.errors import ConfigError
from mofore.data.sampling import EVERY_FRAME, ROUNDING_S, Sampling


def kept(sampling: Sampling, times_s: list[float]) -> list[int]:
    """Positions of the frames that are kept."""
    return [number for number, _ in sampling.select(iter(list(enumerate(times_s))))]


def times_of(rate: float, count: int, tick_s: float = 0.0) -> list[float]:
    """Times of a steady video, rounded to the container's ticks if it has any."""
    exact = [number / rate for number in range(count)]
    return [round(time_s / tick_s) * tick_s for time_s in exact] if tick_s else exact


rates = st.sampled_from([5.0, 12.5, 15.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0])
steps_s = st.lists(st.floats(1e-4, 3.0), max_size=60)
fpss = st.floats(0.1, 240.0)


@given(st.integers(0, 300))
def test_every_frame_is_kept_unless_told_otherwise(count: int) -> None:
    assert kept(EVERY_FRAME, times_of(25, count)) == list(range(count))


@given(st.integers(0, 300), st.integers(1, 40))
def test_a_stride_keeps_every_so_manieth_from_the_first(count: int, stride: int) -> None:
    assert kept(Sampling(stride=stride), times_of(25, count)) == list(range(0, count, stride))


@given(steps_s, fpss, st.floats(-10, 1e5))
def test_kept_frames_are_the_first_ones_due(steps: list[float], fps: float, begin_s: float) -> None:
    times_s = list(accumulate(steps, initial=begin_s))
    chosen = kept(Sampling(fps=fps), times_s)
    assert chosen[0] == 0
    assert chosen == sorted(set(chosen))
    last_s = begin_s
    for number, time_s in enumerate(times_s[1:], 1):
        latest = math.floor((time_s - begin_s - 1e-6) * fps)  # multiples that surely are due by now
        if number not in chosen:
            assert latest <= (last_s - begin_s + ROUNDING_S + 1e-6) * fps
            continue
        assert math.floor((time_s - begin_s + ROUNDING_S + 1e-6) * fps) > math.floor((last_s - begin_s - 1e-6) * fps)
        last_s = time_s


@given(rates, st.integers(1, 12), st.sampled_from([0.0, 1e-3, 1 / 600, 1 / 90000]))
def test_a_whole_part_of_the_rate_keeps_every_so_manieth(rate: float, part: int, tick_s: float) -> None:
    times_s = times_of(rate, 2000, tick_s)
    assert kept(Sampling(fps=rate / part), times_s) == list(range(0, 2000, part))


@given(rates, st.sampled_from([0.0, 1e-3, 1 / 600, 1 / 90000]))
def test_a_slower_video_keeps_every_frame_once(rate: float, tick_s: float) -> None:
    assert kept(Sampling(fps=rate * 1.2), times_of(rate, 500, tick_s)) == list(range(500))


@given(st.lists(st.floats(0.04, 3.0), max_size=60), st.floats(25.01, 1000.0))
def test_frames_farther_apart_than_asked_for_are_all_kept(steps: list[float], fps: float) -> None:
    times_s = list(accumulate(steps, initial=0.0))
    assert kept(Sampling(fps=fps), times_s) == list(range(len(times_s)))


def test_5_of_25_frames_a_second_are_every_5th() -> None:
    assert kept(Sampling(fps=5), times_of(25, 21)) == [0, 5, 10, 15, 20]


def test_10_of_25_frames_a_second_alternate() -> None:
    assert kept(Sampling(fps=10), times_of(25, 11)) == [0, 3, 5, 8, 10]


def test_a_pause_is_not_made_up_for() -> None:
    assert kept(Sampling(fps=1), [0.0, 0.5, 1.0, 9.7, 9.8, 10.0, 10.5]) == [0, 2, 3, 5]


def test_true_times_are_kept() -> None:
    assert list(Sampling(fps=1).select(iter([("a", 0.3), ("b", 1.0), ("c", 1.4)]))) == [("a", 0.3), ("c", 1.4)]


@pytest.mark.parametrize(
    ("sampling", "expected"), [(EVERY_FRAME, 100), (Sampling(stride=3), 34), (Sampling(fps=5), 21)]
)
def test_the_forecast_is_about_what_is_kept(sampling: Sampling, expected: int) -> None:
    assert sampling.expected(100, 4.0) == expected


def test_without_a_duration_the_forecast_is_all_frames() -> None:
    assert Sampling(fps=5).expected(100, 0.0) == 100


@pytest.mark.parametrize("values", [{"stride": 0}, {"fps": -1.0}, {"fps": math.nan}, {"fps": math.inf}])
def test_what_keeps_nothing_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="at least 1 and 0 are needed"):
        Sampling(**values)  # type: ignore[arg-type]


def test_stride_and_fps_together_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"extract\.stride = 2 and extract\.fps = 5: give one of them"):
        Sampling(stride=2, fps=5.0)
