"""MoFore: forecast the teacher's embedding of a future clip, eqs. (2)-(12) of arXiv 2606.14765."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from .contract import Objective, Step
from .draw import Draw, Drawn
from .losses import accuracy, info_nce


class Mofore(Objective):
    """Forecast the teacher's embedding of a future clip.

    L = ||zhat_t - z_t||^2 + lambda InfoNCE(zhat_t, z_t), eq. (12), between unit vectors.
    """

    family = "forecast"
    source = "MoFore, arXiv 2606.14765, eqs. (2)-(12)"
    differences = "normalisation, reduction, lambda and tau are open in the paper: settings of fit"
    defaults: ClassVar[dict[str, Any]] = {}
    figures = ("loss", "forecast", "contrast", "cosine", "pretext")
    written_out = True

    def draw(self, draw: Draw) -> Drawn:
        """A context and its future, across the gap."""
        pairs = draw.pairs()
        rows_P2L = torch.stack([draw.rows(pairs.context), draw.rows(pairs.future)], dim=1)
        return Drawn(rows_P2L, {"gap": pairs.gap_B.float()})

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Eq. (12) by autograd: what the written-out gradient is held against."""
        batch, settings = step.batch, self.settings
        forecast_BE = step.networks.forecast(batch.clip(0), batch.labels["gap"][:, None])
        target_BE = step.networks.target(batch.clip(1))
        if settings.forecast_normalize:
            error_BE = functional.normalize(forecast_BE, dim=1) - functional.normalize(target_BE, dim=1)
        else:
            error_BE = forecast_BE - target_BE
        width = error_BE.shape[1] if settings.forecast_reduction == "mean" else 1
        forecast = error_BE.square().sum(dim=1).mean() / width
        contrast, logits_BB = info_nce(forecast_BE, target_BE, settings.temperature)
        cosine = functional.cosine_similarity(forecast_BE, target_BE, dim=1).mean()
        return forecast + settings.contrast_weight * contrast, forecast, contrast, cosine, accuracy(logits_BB)

    def chance(self, step: Step) -> float:
        """One future in so many."""
        return 1.0 / len(step.batch)
