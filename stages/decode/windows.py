"""Windows of a clip backbone: cut from the frames that come, whatever pieces these come in.

Windows begin every ``hop`` kept frames from the first, and hold ``length`` of them. So a window depends on its own
frames alone: cut from a whole video, from a segment of it, or after a run was resumed, it is the same.

A video ends in a window that is not whole, where frames are left that no whole one has. It is filled up with the last
frame if half of it is there, or if the video has no other; otherwise it is left out. Its times are those of its own
frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.arrays import Float64

FRAME_S = 1 / 25  # that a window's only frame is shown, of which nothing else is known


@dataclass(frozen=True, slots=True)
class Windowing:
    """How windows are cut."""

    length: int  # T, kept frames of a window
    hop: int  # kept frames from the start of one to that of the next
    pads: bool  # whether the last one may be filled up

    def describe(self) -> dict[str, Any]:
        """For the store's provenance."""
        return asdict(self)

    def fills(self, left: int, made: int) -> bool:
        """Whether ``left`` frames from the start of the next window on are filled up, after ``made`` whole ones."""
        if not self.pads or left < 1:
            return False
        seen = self.length - self.hop if made else 0  # of these frames, by the window before
        return left > seen and (2 * left >= self.length or not made)


@dataclass(frozen=True, slots=True)
class Window:
    """A window, uint8 (T, C, H, W), and when its own frames are shown: from ``start_s`` to ``end_s``."""

    frames_TCHW: Tensor
    start_s: float
    end_s: float


class WindowCutter:
    """Cuts the windows of one video.

    Args:
        windowing: how.
        made: whole windows that are known already; the frames that come begin where the next one does.
    """

    def __init__(self, windowing: Windowing, made: int = 0) -> None:
        self._of, self._made = windowing, made
        self._frames: list[Tensor] = []
        self._times_s: list[float] = []
        self._passing = 0  # frames that no window has, where windows lie apart

    def cut(self, frames_BCHW: Tensor, times_s: tuple[float, ...]) -> Iterator[Window]:
        """The windows that the next frames make whole; the frames' memory may be overwritten afterwards."""
        for frame_CHW, time_s in zip(frames_BCHW.clone(), times_s, strict=True):
            if self._passing:
                self._passing -= 1
                continue
            self._frames.append(frame_CHW)
            self._times_s.append(time_s)
            if len(self._frames) == self._of.length:
                yield self._window()
                self._made += 1
                self._passing = max(0, self._of.hop - self._of.length)
                del self._frames[: self._of.hop], self._times_s[: self._of.hop]

    def rest(self) -> Iterator[Window]:
        """The last window, when all frames have come, if it is filled up."""
        if self._of.fills(len(self._frames), self._made):
            yield self._window()

    def _window(self) -> Window:
        missing = self._of.length - len(self._frames)
        times_s = np.array(self._times_s)
        return Window(torch.stack(self._frames + self._frames[-1:] * missing), times_s[0], _end_s(times_s))


def _end_s(times_s: Float64) -> float:
    """When the last frame has been shown, as long as the others on average."""
    steps = len(times_s) - 1
    return float(times_s[-1] + ((times_s[-1] - times_s[0]) / steps if steps else FRAME_S))
