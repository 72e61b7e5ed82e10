"""SALT: forecast the frozen features of a future clip themselves; nothing moves that is aimed at."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .contract import Objective, Step
from .draw import Draw, Drawn
from .losses import skill


class Salt(Objective):
    """Forecast the frozen features of a future clip."""

    family = "control"
    source = "SALT, Li et al. 2025, arXiv 2509.24317: stage 2, to predict what a frozen teacher makes of hidden parts"
    differences = (
        "the frozen teacher is the backbone itself, and a future clip is hidden in place of patches; the loss is L1"
    )
    defaults = {"neighbours": 0, "predictor": "gap", "momentum": 0.0}

    def draw(self, draw: Draw) -> Drawn:
        """A context and its future, across the gap."""
        pairs = draw.pairs()
        rows_P2L = torch.stack([draw.rows(pairs.context), draw.rows(pairs.future)], dim=1)
        return Drawn(rows_P2L, {"gap": pairs.gap_B.float()})

    def heads(self, width: int, features: int) -> nn.Module:
        """From a forecast embedding to a frozen feature."""
        return nn.Linear(width, features)

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Mean absolute error; the pretext is the skill over the forecast that nothing changes."""
        now_BD, future_BD = step.batch.means.unbind(dim=1)
        forecast_BE = step.networks.forecast(step.batch.clip(0), step.batch.labels["gap"][:, None])
        error = functional.l1_loss(step.heads(forecast_BE), future_BD)
        return error, skill(error, functional.l1_loss(now_BD, future_BD))
