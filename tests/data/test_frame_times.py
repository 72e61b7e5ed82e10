"""Times of frames: order, clocks, gaps; every codec and container is in `trials/times`."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mofore.data.decode import decode
from mofore.data.frame_times import REORDERED, Clock, ShownOrder, from_decode_times, is_rising, repaired, rising
from mofore.tests.trials.times import Film, complaint, copy_packets, try_write, write


@dataclass
class Packet:
    pts: int | None
    dts: int | None = None


def shown(sent: list[int], out: list[int], delay: int = 2, *, reorders: bool = True) -> list[int | None]:
    """Times that frames get whose packets have times ``sent`` and which come in the order ``out``, delayed."""
    order: ShownOrder[int] = ShownOrder()
    found: list[tuple[int, int | None]] = []
    coming = iter(out)
    for number, time in enumerate(sent):
        order.sent(time)
        if number >= delay:
            frame = next(coming)
            order.came(frame, sent[frame])
            found.extend(order.ready(reorders=reorders))
    for frame in coming:
        order.came(frame, sent[frame])
    found.extend(order.ready(reorders=False))
    assert [frame for frame, _ in found] == out  # in the order in which the decoder gave them
    return [time for _, time in found]


def test_decode_times_are_given_out_in_order() -> None:
    # Stored I0 P3 B1 B2 P6 B4 B5, each with its decode time; shown 0 1 2 3 ...
    assert shown([0, 1, 2, 3, 4, 5, 6], [0, 2, 3, 1, 5, 6, 4]) == [0, 1, 2, 3, 4, 5, 6]


def test_true_times_wait_for_nothing() -> None:
    order: ShownOrder[str] = ShownOrder()
    for time in (0, 120, 40):  # shown: 0, 40, 120
        order.sent(time)
    order.came("first", 0)
    assert list(order.ready()) == [("first", 0)]
    order.came("second", 40)
    assert list(order.ready()) == [("second", 40)]


def test_a_packet_without_a_frame_holds_up_no_more_than_a_decoder_can() -> None:
    order: ShownOrder[int] = ShownOrder()
    order.sent(0)  # never comes
    lags = []
    for number in range(1, 3 * REORDERED):
        order.sent(number)
        order.came(number, number)
        lags.append(number - max((frame for frame, _ in order.ready()), default=number))
    assert lags[-1] == 0


@given(st.permutations(range(12)), st.integers(0, 12))
def test_any_order_gives_the_sorted_times(out: list[int], delay: int) -> None:
    assert shown(list(range(0, 120, 10)), out, delay) == list(range(0, 120, 10))


def timed(times_s: list[float | None], step_s: float = 0.1) -> list[float]:
    return [time_s for _, time_s in rising(((None, time_s) for time_s in times_s), step_s)]


@pytest.mark.parametrize(
    ("given_s", "wanted_s"),
    [
        ([0.0, 0.5, 0.7], [0.0, 0.5, 0.7]),
        ([0.0, None, 1.0], [0.0, 0.1, 1.0]),  # missing: one step later ...
        ([0.0, None, None, 0.15], [0.0, 0.05, 0.1, 0.15]),  # ... or less, where there is no room
        ([0.0, 0.0, 0.0, 0.3], [0.0, 0.1, 0.2, 0.3]),  # equal
        ([0.0, 0.2, 0.1, 0.3], [0.0, 0.2, 0.25, 0.3]),  # backwards, as only a broken file can be by now
        ([None, None, 1.0], [0.8, 0.9, 1.0]),
        ([None, None, None], [0.0, 0.1, 0.2]),
        ([0.0] * 4, [0.0, 0.1, 0.2, 0.3]),
    ],
)
def test_frames_without_a_later_time_are_one_step_apart(given_s: list[float | None], wanted_s: list[float]) -> None:
    assert timed(given_s) == pytest.approx(wanted_s)


@given(
    st.lists(st.none() | st.floats(-1e9, 1e9) | st.sampled_from([0.0, 1.7e9, 1e15]), max_size=3 * REORDERED),
    st.sampled_from([1e-3, 0.04, 1.0]),
)
def test_times_rise_strictly_whatever_is_given(times_s: list[float | None], step_s: float) -> None:
    found = timed(times_s, step_s)
    assert len(found) == len(times_s)
    assert all(before < after for before, after in pairwise(found))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50, unique=True))
def test_times_that_rise_are_left_as_they_are(times_s: list[float]) -> None:
    assert timed(sorted(times_s)) == sorted(times_s)  # type: ignore[arg-type]


def test_a_clock_that_is_set_back_runs_on() -> None:
    clock = Clock(0.01, 0.04)  # ticks of 1/100 s, steps of 4
    packets = [Packet(time, time) for time in (1000, 1004, 1008, 0, 4, 8)]
    assert [clock.stamp(packet) for packet in packets] == [1000, 1004, 1008, 1012, 1016, 1020]


def test_a_decode_time_that_slips_a_little_is_no_new_clock() -> None:
    clock = Clock(0.01, 0.04)
    packets = [Packet(time, time) for time in (0, 4, 3, 12)]
    assert [clock.stamp(packet) for packet in packets] == [0, 4, 3, 12]


def test_a_packet_takes_its_decode_time_where_it_has_no_other() -> None:
    assert Clock(0.01, 0.04).stamp(Packet(None, 7)) == 7
    assert Clock(0.01, 0.04).stamp(Packet(None, None)) is None


def test_the_wrong_guess_of_a_first_time_is_not_taken() -> None:
    guessed = [Packet(0, 0), Packet(80, 40), Packet(120, 80), Packet(120, 120)]
    assert [packet.pts for packet in from_decode_times(guessed)] == [40, 80, 120, 160]


def test_stored_times_are_repaired_by_sorting() -> None:
    assert repaired(np.array([0.04, 0.16, 0.12, 0.08])).tolist() == [0.04, 0.08, 0.12, 0.16]
    whole = np.array([0.0, 0.5])
    assert repaired(whole) is whole
    assert is_rising(repaired(np.zeros(100)))
    assert repaired(np.array([0.0, 1.0, 1.0, 2.0])).tolist() == [0.0, 1.0, 1.5, 2.0]


FILMS = [
    Film("mpeg4", ".avi", 3),
    Film("libx264", ".avi", 3),
    Film("libx264", ".asf", 3),
    Film("mpeg1video", ".avi", 3),
    Film("mpeg2video", ".asf"),
    Film("libx264", ".mp4", 3),
    Film("libx264", ".mkv", 3, copied_from=".avi"),
    Film("libx264", ".mp4", 3, copied_from=".avi"),
    Film("libx265", ".mov", 3),
    Film("libvpx-vp9", ".webm"),
    Film("libx264", ".h264", 3),
    Film("mpeg2video", ".ts", 3),
]


@pytest.mark.parametrize("film", FILMS, ids=map(str, FILMS))
def test_every_frame_has_the_time_it_was_written_with(film: Film, tmp_path: Path) -> None:
    path = tmp_path / f"film{film.suffix}"
    if not try_write(path, film):
        pytest.skip(f"this FFmpeg cannot write {film}")
    assert complaint(path, film) == ""


def clips(shared: Path) -> Iterator[Path]:
    return iter(sorted((shared / "data" / "ucf101-mini" / "videos").rglob("*.avi")))


@pytest.mark.real
def test_times_of_real_clips_are_their_own_in_order(shared: Path) -> None:
    backwards = 0
    for path in list(clips(shared))[::6]:
        with av.open(str(path)) as container:
            own_s = np.array([frame.time for frame in container.decode(video=0)])
        times_s = np.array([time_s for _, time_s in decode(path)])
        assert times_s.tolist() == np.sort(own_s).tolist()
        assert is_rising(times_s)
        backwards += not is_rising(own_s)
    assert backwards > 10  # packed B-frames: the fault that this is about


@pytest.mark.real
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_real_clip_copied_into_another_container_keeps_its_times(suffix: str, shared: Path, tmp_path: Path) -> None:
    path = next(clips(shared))
    copy_packets(path, tmp_path / f"copy{suffix}")
    times_s, copied_s = ([time_s for _, time_s in decode(one)] for one in (path, tmp_path / f"copy{suffix}"))
    assert copied_s == pytest.approx(times_s, abs=0.002)


def test_the_examination_finds_what_is_wrong(tmp_path: Path) -> None:
    film = Film("mpeg4", ".avi", frames=20)
    write(tmp_path / "film.avi", film)
    assert complaint(tmp_path / "film.avi", Film("mpeg4", ".avi", frames=21)) == "20 of 21 frames"
