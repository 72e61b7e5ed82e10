"""Long and short: a short clip predicts the moving-average key of a much longer one of its video."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.section import setting
from .contract import Objective, Options, Step
from .draw import Draw, Drawn
from .losses import accuracy, info_nce


@dataclass(frozen=True, kw_only=True)
class LsmclOptions(Options):
    """Options of long-short contrast."""

    stretch: float = setting(4.0, "how much longer the long clip is; no longer than its video", low=1.0)


class Lsmcl(Objective):
    """A short clip predicts the key of a longer one."""

    family = "set"
    source = "LSTCL, Wang et al. 2022, arXiv 2106.09212: the loss of MoCo v3 from a short to a long view"
    differences = "clips of cached features, as many frames of the long one as of the short; no augmentation of pixels"
    defaults = {"neighbours": 0, "predictor": "mlp"}
    options = LsmclOptions

    def draw(self, draw: Draw) -> Drawn:
        """A short clip and a long one, anywhere."""
        return Drawn(torch.stack([draw.rows(draw.windows()), draw.rows(draw.stretched(self.own.stretch))], dim=1))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """InfoNCE of the predictions to the long clips' keys, times 2 tau as in MoCo v3."""
        short_BE = step.networks.student(step.batch.clip(0))
        forecast_BE = step.networks.predictor(short_BE, torch.zeros(len(short_BE), 1, device=short_BE.device))
        key_BE = step.networks.target(step.batch.clip(1))
        loss, logits_BB = info_nce(forecast_BE, key_BE, self.settings.temperature)
        return 2.0 * self.settings.temperature * loss, accuracy(logits_BB)

    def chance(self, step: Step) -> float:
        """One video in so many."""
        return 1.0 / len(step.batch)
