"""Rho-MoCo: several clips of a video, each finding the moving-average keys of all the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ...data.section import setting
from .contract import Step
from .draw import Draw, Drawn
from .losses import matched
from .moco import Moco, MocoHeads, MocoOptions
from .projection import through


@dataclass(frozen=True, kw_only=True)
class RhoMocoOptions(MocoOptions):
    """Options of rho-MoCo."""

    clips: int = setting(3, "clips of a video, rho", low=2, high=16)


class RhoMoco(Moco):
    """Several clips of a video find each other's keys.

    MoFore without direction or gap.
    """

    family = "control"
    source = "Feichtenhofer et al. 2021, arXiv 2104.14558; loss of MoCo, arXiv 1911.05722, eq. 1"
    options = RhoMocoOptions

    def draw(self, draw: Draw) -> Drawn:
        """Rho clips anywhere."""
        return Drawn(torch.stack([draw.rows(draw.windows()) for _ in range(self.own.clips)], dim=1))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Mean of MoCo's loss over all ordered pairs of different clips of a video."""
        query_BKP = through(cast(MocoHeads, step.heads).projection.student, step.student())
        key_BKP, clips = self.keys(step), range(self.own.clips)
        pairs = [(query_BKP[:, i], key_BKP[:, j]) for i in clips for j in clips if i != j]
        losses = [self.contrast(query_BP, key_BP, step) for query_BP, key_BP in pairs]
        found = [matched(query_BP, key_BP) for query_BP, key_BP in pairs]
        return torch.stack(losses).mean(), torch.stack(found).mean()
