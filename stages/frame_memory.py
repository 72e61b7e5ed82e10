"""The frames of a store in memory, and clips of them by index arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..cache.store import FrameTable
from ..data.clips import Pairs, frame_positions, sample_pairs
from ..data.settings import FitSettings


@dataclass(frozen=True, slots=True)
class FrameMemory:
    """All frames of some videos on one device.

    Attributes:
        features_ND: float16.
        first_V: row of each video's first frame.
        frames_V: frames of each video.
    """

    features_ND: Tensor
    first_V: Tensor
    frames_V: Tensor

    @classmethod
    def of(cls, table: FrameTable, device: torch.device) -> FrameMemory:
        """Move a table to ``device`` (on the CPU, without a copy)."""
        offsets = torch.from_numpy(table.offsets)
        features_ND = torch.from_numpy(table.features_ND).to(device)
        return cls(features_ND, offsets[:-1].to(device), offsets.diff().to(device))

    def clips(self, video_B: Tensor, start_B: Tensor, length_B: Tensor, clip_length: int) -> Tensor:
        """Clips (B, L, D), float32, that begin ``start_B`` frames into the videos ``video_B``."""
        rows_BL = self.first_V[video_B][:, None] + frame_positions(start_B, length_B, clip_length)
        clips_ND = self.features_ND.index_select(0, rows_BL.flatten())
        return clips_ND.float().view(*rows_BL.shape, -1)


@dataclass(frozen=True, slots=True)
class Epoch:
    """All pairs of one pass over the videos, drawn at once.

    A pure function of (fit.seed, number), so that a resumed run needs no generator's state to go on exactly.
    """

    number: int
    video_P: Tensor
    pairs: Pairs

    @classmethod
    def draw(cls, number: int, memory: FrameMemory, usable_V: Tensor, settings: FitSettings) -> Epoch:
        """Shuffle the usable videos and draw a pair of each."""
        generator = torch.Generator().manual_seed(_mix(settings.seed, number))
        order = torch.randperm(len(usable_V), generator=generator)
        video_P = usable_V.cpu()[order]
        pairs = sample_pairs(
            memory.frames_V.cpu()[video_P],
            clip_length=settings.clip_length,
            gap_min=settings.gap_min,
            gap_max=settings.gap_max,
            generator=generator,
        )
        device = memory.features_ND.device
        return cls(
            number,
            video_P.to(device),
            Pairs(*(t.to(device) for t in (pairs.context_B, pairs.length_B, pairs.gap_B))),
        )

    def batch(self, number: int, size: int, memory: FrameMemory, clip_length: int) -> tuple[Tensor, Tensor]:
        """Context and future clips (B, L, D) of the epoch's batch ``number``; each row is another video."""
        rows = slice(number * size, (number + 1) * size)
        video_B, pairs = self.video_P[rows], self.pairs[rows]
        return (
            memory.clips(video_B, pairs.context_B, pairs.length_B, clip_length),
            memory.clips(video_B, pairs.future_B, pairs.length_B, clip_length),
        )


def _mix(seed: int, number: int) -> int:
    """One 63-bit seed from two numbers, spread so that neighbours share nothing (splitmix64)."""
    value = (seed * 0x9E3779B97F4A7C15 + number + 1) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (value ^ (value >> 31)) >> 1
