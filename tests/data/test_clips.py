import torch
from hypothesis import given
from hypothesis import strategies as st
from mofore.data.clips import frame_positions, holds_pair, sample_pairs, spread_pairs, spread_views

lengths = st.lists(st.integers(2, 400), min_size=1, max_size=30)


@given(
    frames=lengths,
    length=st.integers(1, 40),
    gap_min=st.integers(0, 20),
    more=st.integers(0, 30),
    seed=st.integers(0, 999),
)
def test_pairs_stay_in_the_video_never_overlap_and_keep_their_gap(
    frames: list[int], length: int, gap_min: int, more: int, seed: int
) -> None:
    frames_B = torch.tensor(frames)
    frames_B = frames_B[holds_pair(frames_B, gap_min)]
    pairs = sample_pairs(
        frames_B,
        clip_length=length,
        gap_min=gap_min,
        gap_max=gap_min + more,
        generator=torch.Generator().manual_seed(seed),
    )
    context_BL = frame_positions(pairs.context_B, pairs.length_B, length)
    future_BL = frame_positions(pairs.future_B, pairs.length_B, length)
    assert (context_BL >= 0).all()
    assert (future_BL[:, -1] < frames_B).all()
    assert (future_BL[:, 0] - context_BL[:, -1] > pairs.gap_B).all()
    assert ((pairs.gap_B >= gap_min) & (pairs.gap_B <= gap_min + more)).all()
    whole = frames_B >= 2 * length + gap_min
    assert (pairs.length_B[whole] == length).all()
    assert (context_BL.diff(dim=1) >= 0).all()


def test_gap_zero_shares_no_frame() -> None:
    frames_B = torch.tensor([8])
    pairs = sample_pairs(frames_B, clip_length=4, gap_min=0, gap_max=0, generator=torch.Generator())
    assert frame_positions(pairs.context_B, pairs.length_B, 4).tolist() == [[0, 1, 2, 3]]
    assert frame_positions(pairs.future_B, pairs.length_B, 4).tolist() == [[4, 5, 6, 7]]


def test_gaps_are_uniform_over_the_range_and_starts_over_the_room() -> None:
    frames_B = torch.full((60_000,), 40)
    pairs = sample_pairs(frames_B, clip_length=4, gap_min=2, gap_max=5, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(pairs.gap_B)[2:]
    assert len(counts) == 4
    assert (counts - 15_000).abs().max() < 500  # 5 sigma of a binomial with p = 1/4
    at_gap_2 = pairs.context_B[pairs.gap_B == 2]
    assert at_gap_2.min() == 0
    assert at_gap_2.max() == 40 - 8 - 2


def test_a_short_video_shrinks_its_clips_and_repeats_frames() -> None:
    pairs = sample_pairs(torch.tensor([5]), clip_length=4, gap_min=1, gap_max=9, generator=torch.Generator())
    assert (pairs.length_B.item(), pairs.gap_B.item(), pairs.context_B.item()) == (2, 1, 0)
    assert frame_positions(pairs.future_B, pairs.length_B, 4).tolist() == [[3, 3, 4, 4]]


def test_spread_pairs_leave_out_videos_that_are_too_short() -> None:
    item_B, pairs = spread_pairs(torch.tensor([7, 20, 9]), clip_length=4, gap=1, starts=3)
    assert item_B.tolist() == [1, 1, 1, 2, 2, 2]
    assert pairs.context_B.tolist() == [0, 5, 11, 0, 0, 0]


@given(frames=lengths, length=st.integers(1, 40), views=st.integers(1, 20))
def test_views_cover_the_video_and_stay_inside(frames: list[int], length: int, views: int) -> None:
    frames_V = torch.tensor(frames)
    start_VK, length_V = spread_views(frames_V, clip_length=length, views=views)
    assert start_VK.shape == (len(frames), views)
    assert (start_VK >= 0).all()
    assert (start_VK + length_V[:, None] <= frames_V[:, None]).all()
    if views > 1:
        assert (start_VK[:, 0] == 0).all()
        assert (start_VK[:, -1] + length_V == frames_V).all()
