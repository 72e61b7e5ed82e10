"""Windows over the frames of videos: pairs of clips across a gap, and the views of inference.

Everything is index arithmetic on tensors, vectorised over videos, on whatever device they are on. A pair is
read half-open (METHOD, eqs. 2 and 3): context [t, t + l), future [t + l + g, t + 2l + g), so that at g = 0
the two share no frame.

Short videos: where 2 l + gap_min frames are not there, the clips of that video shrink to
(T - gap_min) // 2 frames, and each is stretched over its l positions by repeating frames. The largest gap
of a video is what its length leaves. A video of fewer than gap_min + 2 frames holds no pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Pairs:
    """One context and one future clip per item, counted in frames from the first frame of its video.

    Attributes:
        context_B: first frame t of the context clip.
        length_B: frames of either clip (l, or less in a short video).
        gap_B: frames between the end of the context and the start of the future.
    """

    context_B: Tensor
    length_B: Tensor
    gap_B: Tensor

    @property
    def future_B(self) -> Tensor:
        """First frame of the future clip, t + l + g."""
        return self.context_B + self.length_B + self.gap_B

    def __getitem__(self, index: slice | Tensor) -> Pairs:
        return Pairs(self.context_B[index], self.length_B[index], self.gap_B[index])


def holds_pair(frames: Tensor, gap_min: int) -> Tensor:
    """Which videos of so many ``frames`` can hold two clips of one frame with the smallest gap between."""
    return frames >= gap_min + 2


def sample_pairs(
    frames_B: Tensor, *, clip_length: int, gap_min: int, gap_max: int, generator: torch.Generator
) -> Pairs:
    """Draw one pair per video: the gap uniform over what fits, then the start uniform over what is left.

    Args:
        frames_B: frames of each video, at least ``gap_min + 2``.
        clip_length: l, in frames.
        gap_min: smallest gap, in frames.
        gap_max: largest gap, in frames.
        generator: source of chance, on the device of ``frames_B``.
    """
    length_B = torch.clamp((frames_B - gap_min) // 2, max=clip_length)
    room_B = torch.clamp(frames_B - 2 * length_B, max=gap_max)
    gap_B = gap_min + _uniform(room_B - gap_min + 1, generator)
    context_B = _uniform(frames_B - 2 * length_B - gap_B + 1, generator)
    return Pairs(context_B, length_B, gap_B)


def spread_pairs(frames_B: Tensor, *, clip_length: int, gap: int, starts: int) -> tuple[Tensor, Pairs]:
    """Pairs of one gap, evenly spread over each video that is long enough for whole clips; no chance.

    Returns:
        The positions in ``frames_B`` of the pairs' videos, and ``starts`` pairs for each.
    """
    span = 2 * clip_length + gap
    item_V = torch.nonzero(frames_B >= span).flatten()
    start_VS = _spread(frames_B[item_V] - span, starts)
    item_B = item_V.repeat_interleave(starts)
    length_B = torch.full_like(item_B, clip_length)
    return item_B, Pairs(start_VS.flatten(), length_B, torch.full_like(item_B, gap))


def spread_views(frames_V: Tensor, *, clip_length: int, views: int) -> tuple[Tensor, Tensor]:
    """First frames (V, views) of evenly spread windows, and the frames (V,) of each video's windows."""
    length_V = torch.clamp(frames_V, max=clip_length)
    return _spread(frames_V - length_V, views), length_V


def frame_positions(start_B: Tensor, length_B: Tensor, clip_length: int) -> Tensor:
    """Frames of each clip (B, L); a clip shorter than L is stretched by repeating frames."""
    step_L = torch.arange(clip_length, device=start_B.device)
    return start_B[:, None] + step_L * length_B[:, None] // clip_length


def _uniform(count_B: Tensor, generator: torch.Generator) -> Tensor:
    """Whole numbers uniform over [0, count)."""
    chance_B = torch.rand(count_B.shape, dtype=torch.float64, device=count_B.device, generator=generator)
    return (chance_B * count_B).long()


def _spread(last_V: Tensor, count: int) -> Tensor:
    """``count`` evenly spaced whole numbers from 0 to ``last`` (its middle for a count of one), (V, count)."""
    if count == 1:
        return last_V[:, None] // 2
    return torch.arange(count, device=last_V.device) * last_V[:, None] // (count - 1)
