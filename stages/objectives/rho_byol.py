"""Rho-BYOL: clips at random places of one video predict each other's moving-average embeddings."""

from __future__ import annotations

import torch
from torch import Tensor

from .contract import Step, TwoClips
from .losses import accuracy, cosine_distance


class RhoByol(TwoClips):
    """Two clips anywhere in a video forecast each other.

    That is MoFore without direction, gap and negatives.
    """

    family = "control"
    source = "Feichtenhofer et al. 2021, arXiv 2104.14558 (rho = 2); loss of BYOL, arXiv 2006.07733"
    differences = "clips of cached features; no augmentation of pixels"
    defaults = {"neighbours": 0, "predictor": "mlp"}

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """2 - 2 cos of each clip's forecast to the other's key; the pretext is to find the video by it."""
        z_BKE, key_BKE = step.student(), step.teacher()
        gap_R1 = torch.zeros(z_BKE.shape[0] * 2, 1, device=z_BKE.device)
        forecast_BKE = step.networks.predictor(z_BKE.flatten(0, 1), gap_R1).view_as(z_BKE)
        loss = cosine_distance(forecast_BKE, key_BKE.flip(1))
        unit_BE = torch.nn.functional.normalize(forecast_BKE[:, 0], dim=1)
        logits_BB = unit_BE @ torch.nn.functional.normalize(key_BKE[:, 1], dim=1).T
        return loss, accuracy(logits_BB)
