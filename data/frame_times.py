"""When the frames of a video are shown: strictly rising times, whatever its container kept.

A decoder hands frames over in the order in which they are shown, each with the time of the packet that it was made
from. In containers that store decode times alone (AVI, ASF), or that were filled from such ones, these times are the
right ones in the wrong order: together they are the times of showing, each of them once. So the n-th frame takes the
n-th smallest time. Where the container is right, that is the frame's own.

Three rules for what containers leave open:

- **A clock that starts anew** (parts of a broadcast, joined) runs on: its times follow those before by one step.
- **A frame whose time is missing, or not later than that of the frame before**, comes one step after the frame before,
  or less, so that it and others like it stay before the next frame with a time.
- **A step** is one frame at the average rate of the stream; 1/25 s where that is unbelievable.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import chain, islice
from typing import Generic, Protocol, TypeVar, cast

import numpy as np

from .arrays import Float64

Frame = TypeVar("Frame")

DECODE_TIMES_ALONE = frozenset(["avi", "asf"])  # containers
REORDERED = 32  # frames at most between a packet and its frame: 16 are held back by decoders, of two fields each
SET_BACK_S = 0.1  # decode times never fall; what falls by less is a careless muxer rather than a clock set back


class Stamped(Protocol):
    """Of a packet, what a clock reads and writes; in ticks."""

    pts: int | None
    dts: int | None


Pack = TypeVar("Pack", bound=Stamped)


class Clock:
    """One clock for all packets of a stream, in ticks, also where the stream's own is set back."""

    def __init__(self, tick_s: float, step_s: float) -> None:
        self._set_back, self._step = SET_BACK_S / tick_s, max(1, round(step_s / tick_s))
        self._offset = 0
        self._latest: int | None = None  # decode time

    def stamp(self, packet: Stamped) -> int | None:
        """Write the packet's time on this clock into it (``pts``), and return it; None if it has none."""
        if packet.dts is not None:
            self._follow(packet.dts)
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None:
            packet.pts = time + self._offset
        return packet.pts

    def _follow(self, dts: int) -> None:
        if self._latest is not None and dts + self._offset < self._latest - self._set_back:
            self._offset = self._latest + self._step - dts
        now = dts + self._offset
        self._latest = now if self._latest is None else max(now, self._latest)


def from_decode_times(packets: Iterable[Pack]) -> Iterator[Pack]:
    """Packets of a container that keeps decode times alone, their times made of these (``pts``).

    FFmpeg guesses when they are shown: right for most, but not for the first and the last of MPEG-1 and MPEG-2. That
    they are shown later than decoded by a constant delay is read off the second one, since the first may be wrong.
    """
    coming = iter(packets)
    first = list(islice(coming, REORDERED))
    shown = sorted(packet.pts for packet in first if packet.pts is not None)
    decoded = sorted(packet.dts for packet in first if packet.dts is not None)
    delay = shown[1] - decoded[1] if len(shown) > 1 and len(decoded) > 1 else 0
    for packet in chain(first, coming):
        if packet.dts is not None:
            packet.pts = packet.dts + delay
        yield packet


class ShownOrder(Generic[Frame]):
    """Gives the n-th frame that is shown the n-th smallest time.

    A frame is held back while a packet is inside the decoder whose time is earlier than the earliest that is left.
    Where the container is right there never is one, so nothing waits.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Frame, bool]] = deque()  # whether it came with a time
        self._times: list[int] = []  # of the waiting frames, a heap
        self._inside: list[tuple[int, int]] = []  # (time, number) of packets without their frame yet, a heap
        self._came: Counter[int] = Counter()  # times of frames whose packets are still listed as inside
        self._sent = 0

    def sent(self, time: int | None) -> None:
        """A packet went into the decoder."""
        self._sent += 1
        if time is not None:
            heappush(self._inside, (time, self._sent))

    def came(self, frame: Frame, time: int | None) -> None:
        """A frame came out."""
        self._waiting.append((frame, time is not None))
        if time is not None:
            heappush(self._times, time)
            self._came[time] += 1

    def ready(self, *, reorders: bool = True) -> Iterator[tuple[Frame, int | None]]:
        """Frames whose times are certain.

        Args:
            reorders: whether the decoder shows frames in another order than that of their packets. Otherwise packets
                that give no frame (a picture left out) hold nothing up.
        """
        if not reorders:
            self._inside.clear()
            self._came.clear()
        while self._waiting:
            frame, has_time = self._waiting[0]
            if has_time and reorders and len(self._waiting) <= REORDERED and self._is_earlier_inside(self._times[0]):
                return
            self._waiting.popleft()
            yield frame, heappop(self._times) if has_time else None

    def _is_earlier_inside(self, time: int) -> bool:
        """Whether a frame with an earlier time may still come; one that is overdue was never made."""
        while self._inside:
            earliest, number = self._inside[0]
            if self._came[earliest]:
                self._came[earliest] -= 1
            elif number > self._sent - REORDERED:
                return earliest < time
            heappop(self._inside)
        self._came.clear()
        return False


def rising(frames: Iterable[tuple[Frame, float | None]], step_s: float) -> Iterator[tuple[Frame, float]]:
    """Frames with times in seconds that rise strictly, see the rules above; times that do are left as they are."""
    before_s: float | None = None
    held: list[Frame] = []  # frames without a time of their own
    for frame, time_s in frames:
        is_later = time_s is not None and (before_s is None or time_s > before_s)
        if held and (is_later or len(held) == REORDERED):
            for timed in _spread(held, before_s, time_s if is_later else None, step_s):
                before_s = timed[1]
                yield timed
            held = []
        if is_later:
            before_s = _after(before_s, cast(float, time_s))
            yield frame, before_s
        else:
            held.append(frame)
    yield from _spread(held, before_s, None, step_s)


def _spread(
    held: list[Frame], before_s: float | None, after_s: float | None, step_s: float
) -> Iterator[tuple[Frame, float]]:
    """Frames one step apart after ``before_s``, nearer to each other if ``after_s`` leaves no room for that."""
    if before_s is None:  # the first ones of the video: counted back from the next, or from 0
        before_s = -step_s if after_s is None else after_s - step_s * (len(held) + 1)
    if after_s is not None:
        step_s = min(step_s, (after_s - before_s) / (len(held) + 1))
    for frame in held:
        before_s = _after(before_s, before_s + step_s)
        yield frame, before_s


def _after(before_s: float | None, time_s: float) -> float:
    """The time, or the next one that is later in float64 where the two are so large that there is none between."""
    return time_s if before_s is None else max(time_s, math.nextafter(before_s, math.inf))


def is_rising(times_s: Float64) -> bool:
    """Whether every time is later than the one before."""
    return bool((np.diff(times_s) > 0).all())


def repaired(times_s: Float64) -> Float64:
    """Times of a video's frames (T,), in seconds, as they should have been stored: sorted, and rising strictly.

    A step is the median one, since the stream is not at hand.
    """
    if is_rising(times_s):
        return times_s
    ordered = np.sort(times_s)
    steps = np.diff(np.unique(ordered))
    step_s = float(np.median(steps)) if len(steps) else 1 / 25
    return np.array([time_s for _, time_s in rising(((None, float(time_s)) for time_s in ordered), step_s)])
