import numpy as np
import pytest

from mofore.stages.evaluate.resampling import Resampling, intervals, paired


def test_an_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        low, high = Resampling(400, trial).interval((rng.random(150) < 0.7).astype(float))  # type: ignore[misc]
        covered += low <= 0.7 <= high
    assert 0.90 <= covered / 200 <= 0.985  # 95 %, three standard errors of 200 trials


def test_the_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(1).standard_normal(2000)
    low, high = Resampling(2000, 0).interval(values)  # type: ignore[misc]
    half = 1.96 * values.std() / np.sqrt(2000)
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_clips_of_one_recording_do_not_count_as_so_many_witnesses() -> None:
    group = np.repeat(np.arange(30), 10)
    values = (np.arange(30) % 2).astype(float)[group]  # a recording is right or wrong as a whole
    videos, groups = Resampling(1000, 0), Resampling(1000, 0, group)
    found = intervals(values, videos, groups, scale=100)
    narrow, wide = found.interval, found.interval_by_group
    assert narrow is not None
    assert wide is not None
    assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low), "sqrt(10) = 3.2 times as wide"


def test_a_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(300)
    videos = Resampling(500, 0)
    better = paired(base + 0.01 + 0.001 * rng.standard_normal(300), base, videos, None, scale=100)
    assert better.verdict == "better"
    assert better.difference == pytest.approx(1.0, abs=0.1)
    assert better.p == pytest.approx(1 / 501), "no sign flip gets as far"
    worse = paired(base, base + 0.01, videos, None, scale=100)
    assert worse.verdict == "worse"
    noise = paired(rng.random(300), base, videos, None, scale=100)
    assert noise.verdict == "no difference"
    assert noise.p is not None
    assert noise.p > 0.05
    same = paired(base, base, videos, None, scale=100)
    assert (same.difference, same.p, same.verdict) == (0.0, 1.0, "no difference")


def test_a_difference_counts_only_if_recordings_agree() -> None:
    group = np.repeat(np.arange(6), 50)
    ahead = np.array([1.0, 1.0, 1.0, 1.0, -1.0, -1.0])[group]
    videos, groups = Resampling(1000, 0), Resampling(1000, 0, group)
    assert paired(ahead, np.zeros(300), videos, None, scale=1).verdict == "better"
    assert paired(ahead, np.zeros(300), videos, groups, scale=1).verdict == "no difference"


def test_queries_without_a_figure_are_left_out() -> None:
    values = np.array([1.0, np.nan, 0.0, np.nan])
    assert paired(values, np.zeros(4), Resampling(100, 0), None, scale=1).n == 2
    nothing = paired(np.full(3, np.nan), np.zeros(3), Resampling(100, 0), None, scale=1)
    assert nothing.verdict is None
    assert Resampling(100, 0).interval(np.empty(0)) is None


def test_fractions_of_ties_that_cancel_are_no_difference() -> None:
    thirds = np.tile([1 / 3, 1 / 3, -2 / 3], 700)
    found = paired(thirds, np.zeros(2100), Resampling(200, 0), None, scale=100)
    assert found.verdict == "no difference"
    alike = np.full(20_000, 0.1)
    group = np.zeros(20_000, np.int64)
    found = paired(alike, np.zeros(20_000), Resampling(50, 0), Resampling(50, 0, group), scale=1)
    assert found.p == 1.0, "one recording: either sign is as far from 0"
