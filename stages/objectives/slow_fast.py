"""Visual tempo consistency (VTHCL): a slow and a fast clip of one video find each other among other videos."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Objective, Options, Step
from .draw import Draw, Drawn
from .losses import accuracy, info_nce


@dataclass(frozen=True, kw_only=True)
class SlowFastOptions(Options):
    """Options of the two tempos."""

    pace: float = setting(4.0, "frames of the sparse clip are so many times as far apart", low=1.1)
    width: int = setting(64, "width of the two projections", low=2)


class SlowFast(Objective):
    """Dense and sparse clips of a video find each other.

    InfoNCE both ways among the videos of the batch.
    """

    family = "tempo"
    source = "VTHCL, Yang et al. 2020, arXiv 2006.15489"
    differences = (
        "one encoder for both tempos and its output alone, no hierarchy of layers; batch negatives, no memory bank; "
        "both clips have as many frames, so that the sparse one spans more"
    )
    defaults = {**WITHOUT_TEACHER, "aggregator": "conv"}
    options = SlowFastOptions
    sees_frames, true_times, least_frames = True, False, 2

    def draw(self, draw: Draw) -> Drawn:
        """Two clips anywhere in each video, the second sparse."""
        windows = (draw.stretched(1.0), draw.stretched(self.own.pace))
        return Drawn(torch.stack([draw.rows(window) for window in windows], dim=1))

    def heads(self, width: int, features: int) -> nn.Module:
        """A projection for each tempo."""
        return nn.ModuleList(nn.Linear(width, self.own.width) for _ in range(2))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """The mean of both directions; the pretext is to find the sparse clip by the dense one."""
        of_dense, of_sparse = step.heads.children()
        z_B2E = step.student()
        dense_BE, sparse_BE = of_dense(z_B2E[:, 0]), of_sparse(z_B2E[:, 1])
        there, logits_BB = info_nce(dense_BE, sparse_BE, self.settings.temperature)
        back, _ = info_nce(sparse_BE, dense_BE, self.settings.temperature)
        return (there + back) / 2, accuracy(logits_BB)

    def chance(self, step: Step) -> float:
        """One video in so many."""
        return 1.0 / len(step.batch)
