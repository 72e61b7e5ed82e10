"""Which frames of a video are kept: all, every n-th, or so many a second."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from .errors import ConfigError

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
        begin_s, before_s, due = math.inf, math.inf, 0
        for frame, time_s in frames:
            if time_s < before_s - 1 / self.fps:  # the first frame, or a clock that was set back: count from here
                begin_s, before_s, due = time_s, time_s, 0
            periods = (time_s - begin_s + self._slack_s(time_s - before_s)) * self.fps
            before_s = time_s
            if periods >= due:
                yield frame, time_s
                due = math.floor(periods) + 1

    def _slack_s(self, step_s: float) -> float:
        """How much too early a frame may be: what rounding makes, and less than what tells two frames apart."""
        return max(0.0, min(ROUNDING_S, step_s / 4, 0.25 / self.fps))


@dataclass(frozen=True, slots=True)
class Picked(Sampling):
    """Of the frames that are kept otherwise, those at some positions; nothing after the last one is decoded.

    Attributes:
        positions: counted from 0 among the kept frames, ascending.
    """

    positions: tuple[int, ...] = ()

    def select(self, frames: Iterator[tuple[Frame, float]]) -> Iterator[tuple[Frame, float]]:
        """The picked ones of ``frames``, as far as there are so many."""
        kept = Sampling(self.stride, self.fps).select(frames)
        number = -1
        for position in self.positions:
            for found in kept:
                number += 1
                if number == position:
                    yield found
                    break


EVERY_FRAME = Sampling()
