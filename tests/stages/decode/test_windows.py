import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mofore.stages.decode.windows import FRAME_S, Window, WindowCutter, Windowing


def cut(frames: int, windowing: Windowing, pieces: int = 7, made: int = 0) -> list[Window]:
    """The windows of a video whose frame n holds the number n and is shown at n / 10 s."""
    cutter, found = WindowCutter(windowing, made), []
    first = made * windowing.hop
    for begin in range(first, frames, pieces):
        numbers = torch.arange(begin, min(begin + pieces, frames), dtype=torch.uint8)
        buffer = numbers.view(-1, 1, 1, 1).expand(-1, 3, 2, 2).clone()
        found += cutter.cut(buffer, tuple(number / 10 for number in numbers.tolist()))
        buffer.fill_(255)  # as memory of a worker that goes on
    return [*found, *cutter.rest()]


def seen(window: Window) -> list[int]:
    return window.frames_TCHW[:, 0, 0, 0].tolist()


def test_windows_begin_every_hop_and_hold_their_frames_and_times() -> None:
    first, second, last = cut(13, Windowing(6, 4, pads=True))
    assert [seen(window) for window in (first, second, last)] == [
        [0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9], [8, 9, 10, 11, 12, 12],
    ]  # fmt: skip
    assert (first.start_s, first.end_s) == pytest.approx((0.0, 0.6))
    assert (last.start_s, last.end_s) == pytest.approx((0.8, 1.3)), "the repeated frame is shown no longer"


def test_windows_that_lie_apart_pass_frames_over() -> None:
    assert [seen(window) for window in cut(13, Windowing(2, 5, pads=True))] == [[0, 1], [5, 6], [10, 11]]


def test_the_rest_is_filled_up_from_half_a_window_on_and_a_short_video_always() -> None:
    whole = [0, 1, 2, 3, 4, 5]
    assert [seen(window) for window in cut(8, Windowing(6, 6, pads=True))] == [whole]
    assert [seen(window) for window in cut(9, Windowing(6, 6, pads=True))] == [whole, [6, 7, 8, 8, 8, 8]]
    assert [seen(window) for window in cut(9, Windowing(6, 6, pads=False))] == [whole]
    (only,) = cut(1, Windowing(6, 6, pads=True))
    assert seen(only) == [0] * 6
    assert only.end_s - only.start_s == pytest.approx(FRAME_S)
    assert cut(5, Windowing(6, 6, pads=False)) == []


def test_what_the_window_before_has_seen_needs_no_window_of_its_own() -> None:
    assert [seen(window)[0] for window in cut(12, Windowing(6, 2, pads=True))] == [0, 2, 4, 6]


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 15), st.booleans(), st.integers(1, 20))
def test_windows_depend_on_their_own_frames_alone(frames: int, length: int, hop: int, pads: bool, pieces: int) -> None:
    """Whatever pieces the frames come in, and after every window that a run may be resumed at."""
    windowing = Windowing(length, hop, pads)
    whole = cut(frames, windowing, 60)
    firsts = list(range(0, frames - length + 1, hop))
    own = [list(range(first, first + length)) for first in firsts]
    last = len(firsts) * hop
    unseen = frames - max((first + length for first in firsts), default=0)
    if pads and last < frames and unseen > 0 and (not firsts or 2 * (frames - last) >= length):
        own.append([min(number, frames - 1) for number in range(last, last + length)])
    assert [seen(window) for window in whole] == own
    alike = cut(frames, windowing, pieces)
    assert [seen(window) for window in alike] == [seen(window) for window in whole]
    made = max(0, (frames - length) // hop + 1)
    for known in range(made + 1):
        later = cut(frames, windowing, pieces, made=known)
        assert [(seen(w), w.start_s, w.end_s) for w in later] == [(seen(w), w.start_s, w.end_s) for w in whole[known:]]
