"""Which frames of a video are kept: all, every n-th, or so many a second."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from .errors import ConfigError, UsageError

Frame = TypeVar("Frame")
ROUNDING_S = 0.002  # containers round times to their ticks, of 1/600 s at the coarsest


@dataclass(frozen=True, slots=True)
class Sampling:
    """``stride`` keeps every stride-th frame from the first; ``fps`` keeps about so many a second, 0 all.

    With ``fps`` the first frame at or after each multiple of 1 / fps since the first frame is kept: frames keep
    their true times, and none comes twice, so a video that is slower keeps all of its own.

    Raises:
        ConfigError: if a number is out of range, or both are given.
    """

    stride: int = 1
    fps: float = 0.0

    def __post_init__(self) -> None:
        if self.stride < 1 or not 0 <= self.fps < math.inf:
            raise ConfigError(f"stride = {self.stride} and fps = {self.fps:g}: at least 1 and 0 are needed")
        if self.stride > 1 and self.fps > 0:
            raise ConfigError(f"extract.stride = {self.stride} and extract.fps = {self.fps:g}: give one of them")

    @property
    def seek_s(self) -> float:
        """So many seconds from the first frame nothing is wanted, nor needed to tell what is."""
        return 0.0

    def select(self, frames: Iterator[tuple[Frame, float]]) -> Iterator[tuple[Frame, float]]:
        """Those of ``frames``, given with their times in seconds, that are kept."""
        if self.fps > 0:
            return self._by_time(frames)
        return (found for number, found in enumerate(frames) if number % self.stride == 0)

    def expected(self, frames: int, duration_s: float) -> int:
        """How many of so many frames are going to be kept, roughly."""
        if self.fps > 0:
            return min(frames, round(duration_s * self.fps) + 1) if duration_s else frames
        return -(-frames // self.stride)

    def _by_time(self, frames: Iterator[tuple[Frame, float]]) -> Iterator[tuple[Frame, float]]:
        begin_s, before_s, due = math.nan, math.nan, 0
        for frame, time_s in frames:
            if math.isnan(begin_s):
                begin_s = before_s = time_s
            # How much too early a frame may be: what rounding makes, and less than what tells two frames apart.
            slack_s = max(0.0, min(ROUNDING_S, (time_s - before_s) / 4, 0.25 / self.fps))
            periods = (time_s - begin_s + slack_s) * self.fps
            before_s = time_s
            if periods >= due:
                yield frame, time_s
                due = math.floor(periods) + 1


@dataclass(frozen=True, slots=True)
class Picked(Sampling):
    """Of the frames that another sampling keeps, those at some positions; nothing after the last one is decoded."""

    of: Sampling = Sampling()  # the other sampling
    positions: tuple[int, ...] = ()  # counted from 0 among the frames that it keeps, ascending

    @property
    def seek_s(self) -> float:
        """As of the other one."""
        return self.of.seek_s

    def select(self, frames: Iterator[tuple[Frame, float]]) -> Iterator[tuple[Frame, float]]:
        """The picked ones of ``frames``, as far as there are so many."""
        kept = self.of.select(frames)
        number = -1
        for position in self.positions:
            for found in kept:
                number += 1
                if number == position:
                    yield found
                    break


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a video: the frames from ``start_s`` to before ``end_s``, seconds from the first frame.

    Raises:
        UsageError: if it has no length, or begins before the video.
    """

    start_s: float = 0.0
    end_s: float = math.inf

    def __post_init__(self) -> None:
        if not 0 <= self.start_s < self.end_s:
            raise UsageError(
                f"from {self.start_s:g} s to {self.end_s:g} s: seconds from the first frame are needed, the start "
                "at 0 or later and the end after it"
            )

    def __contains__(self, passed_s: float) -> bool:
        """Whether a frame that is shown so many seconds after the first one belongs to it."""
        return self.start_s - ROUNDING_S <= passed_s < self.end_s - ROUNDING_S

    @property
    def fragment(self) -> str:
        """As the end of an address: ``#t=1,2.5`` (W3C Media Fragments), to a microsecond."""
        return f"#t={_plain(self.start_s)}" + (f",{_plain(self.end_s)}" if self.end_s < math.inf else "")

    def __str__(self) -> str:
        return f"{self.start_s:.2f}-{self.end_s:.2f} s" if self.end_s < math.inf else f"from {self.start_s:.2f} s"


def _plain(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Within(Sampling):
    """Of the frames that are kept otherwise, those of a span; nothing after it is decoded."""

    span: Span = Span()

    @property
    def seek_s(self) -> float:
        """The start; but which frames a stride or a rate keeps is counted from the first frame."""
        return self.span.start_s if self.stride == 1 and self.fps == 0 else 0.0

    def expected(self, frames: int, duration_s: float) -> int:
        """How many of so many frames are going to be kept, roughly."""
        kept = Sampling(self.stride, self.fps).expected(frames, duration_s)
        if not duration_s:
            return kept
        covered_s = min(self.span.end_s, duration_s) - min(self.span.start_s, duration_s)
        return min(kept, math.ceil(kept * covered_s / duration_s))

    def select(self, frames: Iterator[tuple[Frame, float]]) -> Iterator[tuple[Frame, float]]:
        """Those of ``frames`` that are kept."""
        first_s: float | None = None
        for frame, time_s in Sampling(self.stride, self.fps).select(frames):
            first_s = time_s if first_s is None else first_s
            if time_s - first_s in self.span:
                yield frame, time_s
            elif time_s - first_s >= self.span.end_s:
                return


@dataclass(frozen=True, slots=True)
class Moments(Sampling):
    """For each of some moments the first frame that is not before it; the last frame for those after the end."""

    moments_s: tuple[float, ...] = ()  # seconds from the first frame, ascending

    @property
    def seek_s(self) -> float:
        """The first moment, if it is one."""
        return self.moments_s[0] if self.moments_s[0] < math.inf else 0.0

    def select(self, frames: Iterator[tuple[Frame, float]]) -> Iterator[tuple[Frame, float]]:
        """One frame for each moment."""
        waiting, first_s = list(self.moments_s), None
        for last in frames:
            first_s = last[1] if first_s is None else first_s
            while waiting and last[1] - first_s >= waiting[0] - ROUNDING_S:
                yield last
                del waiting[0]
            if not waiting:
                return
        for _ in waiting if first_s is not None else ():
            yield last


EVERY_FRAME = Sampling()
