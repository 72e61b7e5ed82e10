"""Recognise how the time of a clip was transformed: not, forwards and back, frames skipped at random or evenly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .contract import OF_CHANGES, Objective, Step
from .draw import Draw, Drawn
from .losses import classified

KINDS = ("as it was", "forwards and back", "random skips", "even skips")
STRETCH = 4.0  # skips are taken from a window so many clips long, or the whole video


class Transformations(Objective):
    """Whole, forth and back, random skips or even skips?"""

    family = "tempo"
    source = "Jenni et al. 2020, arXiv 2007.10730"
    differences = "cached features; two speeds, 1 and 4, in place of four; no class of wholly permuted frames"
    defaults = OF_CHANGES
    sees_frames, true_times, least_frames = True, False, 4

    def draw(self, draw: Draw) -> Drawn:
        """One clip of each video, of one of the four kinds."""
        length = draw.settings.clip_length
        kind_P = draw.choice(len(KINDS), len(draw.video_P))
        long = draw.stretched(STRETCH)
        dense_PN = draw.rows(long, int(STRETCH) * length)
        skipped_PL = draw.shuffles(dense_PN.shape[1])[:, :length].sort(dim=1).values
        rows_PL = draw.rows(draw.stretched(1.0))
        back_L = torch.arange(length)
        back_L = back_L.minimum(back_L.flip(0))
        kinds_4PL = (rows_PL, rows_PL[:, back_L], dense_PN.gather(1, skipped_PL), draw.rows(long))
        return Drawn(torch.stack(kinds_4PL)[kind_P, torch.arange(len(kind_P))][:, None], {"kind": kind_P})

    def heads(self, width: int, features: int) -> nn.Module:
        """A linear classifier."""
        return nn.Linear(width, len(KINDS))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Cross-entropy over the four kinds."""
        return classified(step.heads(step.student()[:, 0]), step.batch.labels["kind"])

    def chance(self, step: Step) -> float:
        """One in four."""
        return 1.0 / len(KINDS)
