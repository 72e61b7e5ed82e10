"""Playback-rate perception (PRP): at which rate were the frames of a clip sampled?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .contract import OF_CHANGES, Objective, Step
from .draw import Draw, Drawn
from .losses import classified

RATES = (1, 2, 4, 8)  # strides, in those of a clip


class PlaybackRate(Objective):
    """Is a clip sampled at stride 1, 2, 4 or 8?"""

    family = "tempo"
    source = "PRP, Yao et al. 2020, arXiv 2006.11476 (its discriminative branch)"
    differences = "cached features; no branch that reconstructs; only rates whose clip fits in the video"
    defaults = OF_CHANGES
    sees_frames, true_times, least_frames = True, False, 2

    def draw(self, draw: Draw) -> Drawn:
        """One clip of each video, at a rate that leaves it inside."""
        rate_P, fit_P = draw.paces(RATES)
        rows_PL = draw.rows(draw.stretched(torch.tensor(RATES)[rate_P]))
        return Drawn(rows_PL[:, None], {"rate": rate_P, "fit": fit_P})

    def heads(self, width: int, features: int) -> nn.Module:
        """A linear classifier."""
        return nn.Linear(width, len(RATES))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Cross-entropy over the rates."""
        return classified(step.heads(step.student()[:, 0]), step.batch.labels["rate"])

    def chance(self, step: Step) -> float:
        """The share of the slowest, which fits everywhere."""
        return float(step.batch.labels["fit"].float().reciprocal().mean())
