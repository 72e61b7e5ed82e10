"""Which frames of a video are kept: all, every n-th, or so many a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from .errors import ConfigError

Frame = TypeVar("Frame")
SLACK = 0.01  # of a period: times are rounded to a container's ticks, and 30000/1001 has no exact ones


@dataclass(frozen=True, slots=True)
class Sampling:
    """``stride`` keeps every stride-th frame from the first; ``fps`` keeps about so many a second, 0 all.

    With ``fps`` the first frame at or after each multiple of 1 / fps since the first frame is kept: frames keep
    their true times, and none comes twice, so a video that is slower keeps all of its own.
    """

    stride: int = 1
    fps: float = 0.0

    def __post_init__(self) -> None:
        if self.stride < 1 or not self.fps >= 0:
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
        period_s, begin_s, due = 1 / self.fps, None, 0
        for frame, time_s in frames:
            begin_s = time_s if begin_s is None else begin_s
            periods = (time_s - begin_s) / period_s + SLACK
            if periods >= due:
                yield frame, time_s
                due = max(int(periods) + 1, due + 1)


EVERY_FRAME = Sampling()
