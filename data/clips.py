"""Windows over the frames of videos: pairs of clips across a gap, and the views of inference.

Everything is index arithmetic on tensors, vectorised over videos, on whatever device they are on. A pair is
read half-open (METHOD, eqs. 2 and 3): with a clip of span s (its frames times the stride), the context covers
[t, t + s) and the future [t + s + g, t + 2s + g), so that at g = 0 the two share no frame.

Positions are whole frames (int64 tensors) or seconds (float64 tensors) from the first frame of the video; the
same arithmetic serves both. The extent of a video is its number of frames, or its duration.

Short videos: where 2 s + gap_min is not there, the clips of that video shrink to half of what is left, and the
l frames of each are spread over the shorter span, repeating frames where there are fewer than l. The largest gap
of a video is what its length leaves. A video of fewer than gap_min + 2 frames (gap_min + two frames' time) holds
no pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Windows:
    """Clips of B videos: where each begins in its video, and what it spans (frames or seconds)."""

    start_B: Tensor
    span_B: Tensor

    def __getitem__(self, index: slice | Tensor) -> Windows:
        return Windows(self.start_B[index], self.span_B[index])


@dataclass(frozen=True, slots=True)
class Pairs:
    """One context and one future clip per item, counted from the first frame of its video."""

    context_B: Tensor  # where the context begins, t
    span_B: Tensor  # of either clip (s, or less in a short video)
    gap_B: Tensor  # between the end of the context and the start of the future
    # of what follows the context, how much it has seen already (rows that are overlapping windows of frames): neither
    # gap nor future
    shared_B: Tensor | int = 0

    @property
    def future_B(self) -> Tensor:
        """Where the future begins, t + s + g, behind what is shared."""
        return self.context_B + self.span_B + self.gap_B + self.shared_B

    @property
    def context(self) -> Windows:
        """Where the B context clips lie, with the span that they share with their futures."""
        return Windows(self.context_B, self.span_B)

    @property
    def future(self) -> Windows:
        """Where the B future clips lie, gap included."""
        return Windows(self.future_B, self.span_B)


@dataclass(frozen=True, slots=True)
class GapRange:
    """Which gaps are drawn: from ``low`` to ``high``, "uniform" or "log-uniform" (in 1 + g)."""

    low: float
    high: float
    distribution: str = "uniform"


def holds_pair(extent: Tensor, gap_min: float, least: float | Tensor = 1) -> Tensor:
    """Which videos can hold two clips of ``least`` (one frame, or its duration) with the smallest gap between."""
    return extent >= gap_min + 2 * least


def sample_pairs(
    extent_B: Tensor, *, span: float, gaps: GapRange, generator: torch.Generator, shared_B: Tensor | int = 0
) -> Pairs:
    """Draw one pair per video: the gap over what fits, then the start uniform over what is left.

    Args:
        extent_B: frames (int64) or duration (float64) of each video, which :func:`holds_pair`.
        span: s, of a clip.
        gaps: the gaps to draw from.
        generator: source of chance, on the device of ``extent_B``.
        shared_B: of :class:`Pairs`; a video has so much less room.
    """
    extent_B = extent_B - shared_B
    span_B = shortened(extent_B, span, gaps.low)
    room_B = torch.clamp(extent_B - 2 * span_B, max=_like(gaps.high, extent_B))
    gap_B = _drawn_gap(room_B, gaps, generator)
    return Pairs(_uniform(extent_B - 2 * span_B - gap_B, generator), span_B, gap_B, shared_B)


def sample_horizons(
    extent_B: Tensor, gap_H: Tensor, *, span: float, generator: torch.Generator, shared_B: Tensor | int = 0
) -> tuple[Pairs, Tensor]:
    """One context per video with room for a future after every gap of ``gap_H``; spans shrink for the largest.

    Returns:
        The pairs of the largest gap, and where the future of each gap begins (B, H).
    """
    largest, extent_B = float(gap_H.max()), extent_B - shared_B
    span_B = shortened(extent_B, span, largest)
    gap_B = torch.full_like(extent_B, _like(largest, extent_B))
    pairs = Pairs(_uniform(extent_B - 2 * span_B - gap_B, generator), span_B, gap_B, shared_B)
    return pairs, (pairs.context_B + span_B + shared_B)[:, None] + gap_H.to(extent_B.dtype)


def sample_windows(extent_B: Tensor, *, span: float, gap_min: float, generator: torch.Generator) -> Windows:
    """One clip anywhere in each video, of the span that a pair would have there."""
    span_B = shortened(extent_B, span, gap_min)
    return Windows(_uniform(extent_B - span_B, generator), span_B)


def shortened(extent_B: Tensor, span: float, gap: float) -> Tensor:
    """Span of each video's clips: ``span``, or half of what the gap leaves in a short video."""
    left_B = extent_B - _like(gap, extent_B)
    half_B = left_B // 2 if not extent_B.is_floating_point() else left_B / 2
    return torch.clamp(half_B, max=_like(span, extent_B))


def spread_pairs(
    extent_B: Tensor, *, span: float, gap: float, starts: int, shared_B: Tensor | None = None
) -> tuple[Tensor, Pairs]:
    """Pairs of one gap, evenly spread over each video that is long enough for whole clips; no chance.

    Returns:
        The positions in ``extent_B`` of the pairs' videos, and ``starts`` pairs for each.
    """
    shared_B = torch.zeros_like(extent_B) if shared_B is None else shared_B
    whole, extent_B = _like(2 * span + gap, extent_B), extent_B - shared_B
    item_V = torch.nonzero(extent_B >= whole).flatten()
    start_VS = _spread(extent_B[item_V] - whole, starts)
    item_B = item_V.repeat_interleave(starts)
    filled = torch.ones_like(item_B, dtype=extent_B.dtype)
    span_B, gap_B = filled * _like(span, extent_B), filled * _like(gap, extent_B)
    return item_B, Pairs(start_VS.flatten(), span_B, gap_B, shared_B[item_B])


def spread_views(extent_V: Tensor, *, span: float, views: int) -> tuple[Tensor, Windows]:
    """Evenly spread windows of each video: the video (B,) of each window, B = V x views, and the windows."""
    span_V = torch.clamp(extent_V, max=_like(span, extent_V))
    item_B = torch.arange(len(extent_V), device=extent_V.device).repeat_interleave(views)
    return item_B, Windows(_spread(extent_V - span_V, views).flatten(), span_V[item_B])


def spread_parts(extent_V: Tensor, *, span: float, parts: int) -> tuple[Tensor, Windows]:
    """A window in the middle of each of so many equal parts of each video, no longer than the part, nor ``span``.

    A part of less than a frame holds the frame that it begins in.

    Returns:
        The video (B,) of each window, B = V x parts, and the windows, video after video.
    """
    whole = not extent_V.is_floating_point()
    part_V = (extent_V // parts).clamp(min=1) if whole else extent_V / parts
    span_V = torch.clamp(part_V, max=_like(span, extent_V))
    step_P = torch.arange(parts, device=extent_V.device)
    bounds_VP = step_P * extent_V[:, None]
    begin_VP = bounds_VP // parts if whole else bounds_VP / parts
    spare_V1 = (part_V - span_V)[:, None]
    start_VP = begin_VP + (spare_V1 // 2 if whole else spare_V1 / 2)
    item_B = torch.arange(len(extent_V), device=extent_V.device).repeat_interleave(parts)
    return item_B, Windows(start_VP.flatten(), span_V[item_B])


def every_window(extent_V: Tensor, *, span: float, hop: float) -> tuple[Tensor, Windows]:
    """All windows of each video, ``hop`` apart, the last ending where the video ends; no chance.

    Returns:
        The video (B,) of each window, and the windows, video after video.
    """
    span_V = torch.clamp(extent_V, max=_like(span, extent_V))
    last_V = extent_V - span_V
    step = max(_like(hop, extent_V), 1) if not extent_V.is_floating_point() else hop
    count_V = torch.ceil(last_V / step).long() + 1
    item_B = torch.arange(len(extent_V), device=extent_V.device).repeat_interleave(count_V)
    first_V = count_V.cumsum(0) - count_V
    number_B = torch.arange(len(item_B), device=extent_V.device) - first_V[item_B]
    return item_B, Windows((number_B * step).to(extent_V.dtype).minimum(last_V[item_B]), span_V[item_B])


def sample_positions(windows: Windows, clip_length: int) -> Tensor:
    """Where the l frames of each clip are taken (B, L); whole frames are rounded down."""
    step_L = torch.arange(clip_length, device=windows.start_B.device)
    if windows.span_B.is_floating_point():
        return windows.start_B[:, None] + step_L * (windows.span_B[:, None] / clip_length)
    return windows.start_B[:, None] + step_L * windows.span_B[:, None] // clip_length


def _drawn_gap(room_B: Tensor, gaps: GapRange, generator: torch.Generator) -> Tensor:
    low = _like(gaps.low, room_B)
    if gaps.distribution != "log-uniform":
        return low + _uniform(room_B - low, generator)
    chance_B = _chance(room_B, generator)
    unit = 0 if room_B.is_floating_point() else 1  # whole frames: each gets the share of [g, g + 1)
    low_log, high_log = (1.0 + torch.as_tensor(gaps.low)).log(), (1.0 + unit + room_B.double()).log()
    gap_B = (low_log + chance_B * (high_log - low_log)).exp() - 1.0
    return torch.clamp(gap_B.to(room_B.dtype), min=low).minimum(room_B)


def _uniform(last_B: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform from 0 to ``last``: whole numbers with both ends, or real ones."""
    chance_B = _chance(last_B, generator)
    return chance_B * last_B if last_B.is_floating_point() else (chance_B * (last_B + 1)).long()


def _chance(like_B: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(like_B.shape, dtype=torch.float64, device=like_B.device, generator=generator)


def _spread(last_V: Tensor, count: int) -> Tensor:
    """``count`` evenly spaced positions from 0 to ``last`` (its middle for a count of one), (V, count)."""
    if count == 1:
        return (last_V / 2 if last_V.is_floating_point() else last_V // 2)[:, None]
    step_K = torch.arange(count, device=last_V.device)
    spread_VK = step_K * last_V[:, None]
    return spread_VK / (count - 1) if last_V.is_floating_point() else spread_VK // (count - 1)


def _like(value: float, tensor: Tensor) -> float | int:
    """A setting as a number of the tensor's kind."""
    return value if tensor.is_floating_point() else int(value)
