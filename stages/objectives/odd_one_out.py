"""Odd-one-out networks (O3N): of six clips of a video, one is out of order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...data.section import setting
from .contract import OF_CHANGES, Objective, Options, Step
from .draw import Draw, Drawn
from .losses import classified

CLIPS = 6


@dataclass(frozen=True, kw_only=True)
class OddOneOutOptions(Options):
    """Options of the comparing network."""

    hidden: int = setting(128, "width of its hidden layer", low=4)


class OddOneOut(Objective):
    """Which of six clips has its frames shuffled?"""

    family = "order"
    source = "O3N, Fernando et al. 2017, arXiv 1611.06646"
    differences = "cached features; conv aggregator in place of a network on pictures"
    defaults = OF_CHANGES
    options = OddOneOutOptions
    sees_frames, true_times, least_frames = True, False, 3

    def draw(self, draw: Draw) -> Drawn:
        """Six clips anywhere; one has its frames in another order."""
        rows_PKL = torch.stack([draw.rows(draw.windows()) for _ in range(CLIPS)], dim=1)
        odd_P, every_P = draw.choice(CLIPS, len(rows_PKL)), torch.arange(len(rows_PKL))
        rows_PKL[every_P, odd_P] = rows_PKL[every_P, odd_P].gather(1, draw.shuffles(rows_PKL.shape[2]))
        return Drawn(rows_PKL, {"odd": odd_P})

    def heads(self, width: int, features: int) -> nn.Module:
        """All embeddings side by side to one of six places."""
        hidden = self.own.hidden
        return nn.Sequential(nn.Linear(CLIPS * width, hidden), nn.ReLU(), nn.Linear(hidden, CLIPS))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Cross-entropy over the six places."""
        return classified(step.heads(step.student().flatten(1)), step.batch.labels["odd"])

    def chance(self, step: Step) -> float:
        """One in six."""
        return 1.0 / CLIPS
