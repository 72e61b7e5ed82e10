import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mofore.data.clips import (
    GapRange,
    Windows,
    holds_pair,
    sample_horizons,
    sample_pairs,
    sample_positions,
    sample_windows,
    spread_pairs,
    spread_views,
)

lengths = st.lists(st.integers(2, 400), min_size=1, max_size=30)
distributions = st.sampled_from(["uniform", "log-uniform"])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    frames=lengths,
    length=st.integers(1, 40),
    stride=st.integers(1, 4),
    gap_min=st.integers(0, 20),
    more=st.integers(0, 30),
    distribution=distributions,
    seed=st.integers(0, 999),
)
def test_pairs_stay_in_the_video_never_overlap_and_keep_their_gap(
    frames: list[int], length: int, stride: int, gap_min: int, more: int, distribution: str, seed: int
) -> None:
    frames_B = torch.tensor(frames)
    frames_B = frames_B[holds_pair(frames_B, gap_min)]
    gaps = GapRange(gap_min, gap_min + more, distribution)
    pairs = sample_pairs(frames_B, span=length * stride, gaps=gaps, generator=generator(seed))
    context_BL = sample_positions(pairs.context, length)
    future_BL = sample_positions(pairs.future, length)
    assert (context_BL >= 0).all()
    assert (future_BL[:, -1] < frames_B).all()
    assert (future_BL[:, 0] - context_BL[:, -1] > pairs.gap_B).all()
    assert ((pairs.gap_B >= gap_min) & (pairs.gap_B <= gap_min + more)).all()
    whole = frames_B >= 2 * length * stride + gap_min
    assert (pairs.span_B[whole] == length * stride).all()
    assert (context_BL.diff(dim=1) >= 0).all()
    assert (context_BL[whole].diff(dim=1) == stride).all()


@given(
    seconds=st.lists(st.floats(0.2, 60.0), min_size=1, max_size=20),
    span=st.floats(0.05, 5.0),
    gap_min=st.floats(0.0, 2.0),
    more=st.floats(0.0, 4.0),
    distribution=distributions,
    seed=st.integers(0, 999),
)
def test_pairs_in_seconds_stay_inside_and_keep_their_gap(
    seconds: list[float], span: float, gap_min: float, more: float, distribution: str, seed: int
) -> None:
    duration_B = torch.tensor(seconds, dtype=torch.float64)
    duration_B = duration_B[holds_pair(duration_B, gap_min, 0.04)]
    gaps = GapRange(gap_min, gap_min + more, distribution)
    pairs = sample_pairs(duration_B, span=span, gaps=gaps, generator=generator(seed))
    assert (pairs.context_B >= -1e-9).all()
    assert (pairs.future_B + pairs.span_B <= duration_B + 1e-9).all()
    assert ((pairs.gap_B >= gap_min - 1e-9) & (pairs.gap_B <= gap_min + more + 1e-9)).all()
    assert (pairs.span_B > 0).all()


def test_gap_zero_shares_no_frame() -> None:
    pairs = sample_pairs(torch.tensor([8]), span=4, gaps=GapRange(0, 0), generator=generator())
    assert sample_positions(pairs.context, 4).tolist() == [[0, 1, 2, 3]]
    assert sample_positions(pairs.future, 4).tolist() == [[4, 5, 6, 7]]


def test_gaps_are_uniform_over_the_range_and_starts_over_the_room() -> None:
    frames_B = torch.full((60_000,), 40)
    pairs = sample_pairs(frames_B, span=4, gaps=GapRange(2, 5), generator=generator())
    counts = torch.bincount(pairs.gap_B)[2:]
    assert len(counts) == 4
    assert (counts - 15_000).abs().max() < 500  # 5 sigma of a binomial with p = 1/4
    at_gap_2 = pairs.context_B[pairs.gap_B == 2]
    assert at_gap_2.min() == 0
    assert at_gap_2.max() == 40 - 8 - 2


def test_log_uniform_gaps_have_equal_shares_of_the_logarithm() -> None:
    frames_B = torch.full((60_000,), 400)
    pairs = sample_pairs(frames_B, span=4, gaps=GapRange(0, 15, "log-uniform"), generator=generator())
    counts = torch.bincount(pairs.gap_B, minlength=16)
    edges = torch.arange(1, 18).log2() / 4  # log of 1 + g, from g = 0 to 16, over its range
    expected = 60_000 * edges.diff()[:16] / edges[16]
    assert (counts - expected).abs().max() < 600
    assert pairs.gap_B.max() == 15


def test_every_horizon_of_a_context_is_inside_and_after_it() -> None:
    frames_B = torch.tensor([10, 30, 100])
    gap_H = torch.tensor([0.0, 4.0, 8.0])
    pairs, future_BH = sample_horizons(frames_B, gap_H, span=4, generator=generator())
    assert pairs.span_B.tolist() == [1, 4, 4]
    assert (future_BH - (pairs.context_B + pairs.span_B)[:, None]).tolist() == [[0, 4, 8]] * 3
    assert (future_BH[:, -1] + pairs.span_B <= frames_B).all()


@given(frames=lengths, length=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_clip_anywhere_is_inside(frames: list[int], length: int, seed: int) -> None:
    frames_B = torch.tensor(frames)
    drawn = sample_windows(frames_B, span=length, gap_min=0, generator=generator(seed))
    assert (drawn.start_B >= 0).all()
    assert (drawn.start_B + drawn.span_B <= frames_B).all()


def test_a_short_video_shrinks_its_clips_and_repeats_frames() -> None:
    pairs = sample_pairs(torch.tensor([5]), span=4, gaps=GapRange(1, 9), generator=generator())
    assert (pairs.span_B.item(), pairs.gap_B.item(), pairs.context_B.item()) == (2, 1, 0)
    assert sample_positions(pairs.future, 4).tolist() == [[3, 3, 4, 4]]


def test_spread_pairs_leave_out_videos_that_are_too_short() -> None:
    item_B, pairs = spread_pairs(torch.tensor([7, 20, 9]), span=4, gap=1, starts=3)
    assert item_B.tolist() == [1, 1, 1, 2, 2, 2]
    assert pairs.context_B.tolist() == [0, 5, 11, 0, 0, 0]


@given(frames=lengths, length=st.integers(1, 40), views=st.integers(1, 20))
def test_views_cover_the_video_and_stay_inside(frames: list[int], length: int, views: int) -> None:
    frames_V = torch.tensor(frames)
    item_B, windows = spread_views(frames_V, span=length, views=views)
    start_VK, span_VK = windows.start_B.view(-1, views), windows.span_B.view(-1, views)
    assert item_B.tolist() == [video for video in range(len(frames)) for _ in range(views)]
    assert (start_VK >= 0).all()
    assert (start_VK + span_VK <= frames_V[:, None]).all()
    if views > 1:
        assert (start_VK[:, 0] == 0).all()
        assert (start_VK[:, -1] + span_VK[:, -1] == frames_V).all()


@pytest.mark.parametrize(("start", "span", "expected"), [(2, 8, [2, 4, 6, 8]), (0, 3, [0, 0, 1, 2])])
def test_positions_are_a_stride_apart(start: int, span: int, expected: list[int]) -> None:
    assert sample_positions(Windows(torch.tensor([start]), torch.tensor([span])), 4).tolist() == [expected]
