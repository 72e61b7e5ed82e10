"""The two terms of the objective, L = L_forecast + lambda L_con (eq. 12 of arXiv 2606.14765)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def forecast_loss(forecast_BE: Tensor, target_BE: Tensor, *, normalize: bool, reduction: str) -> Tensor:
    """Squared error of the forecast, eq. (9): the mean over B of ||zhat_t - z_t||^2.

    Args:
        forecast_BE: predictions.
        target_BE: the teacher's embeddings; no gradient flows into them.
        normalize: take both as unit vectors, where the error is 2 - 2 cos (in [0, 4]).
        reduction: over the width E: "sum" as the equation is printed, or "mean".

    Differences: the paper leaves normalisation and reduction open; both are named settings.
    """
    if normalize:
        forecast_BE = functional.normalize(forecast_BE, dim=1)
        target_BE = functional.normalize(target_BE, dim=1)
    squared_BE = (forecast_BE - target_BE.detach()).square()
    error_B = squared_BE.sum(dim=1) if reduction == "sum" else squared_BE.mean(dim=1)
    return error_B.mean()


def contrastive_loss(forecast_BE: Tensor, target_BE: Tensor, temperature: float) -> Tensor:
    """InfoNCE, eq. (11): row i's positive is target i, its negatives the other videos' targets of the batch.

    sim is the cosine; the sum in the denominator runs over the positive too; mean over B.
    """
    forecast_BE = functional.normalize(forecast_BE, dim=1)
    target_BE = functional.normalize(target_BE.detach(), dim=1)
    logits_BB = forecast_BE @ target_BE.T / temperature
    return functional.cross_entropy(logits_BB, torch.arange(len(logits_BB), device=logits_BB.device))
