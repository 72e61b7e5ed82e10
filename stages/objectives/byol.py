"""BYOL: a clip predicts the moving-average projection of another clip of its video; no negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from ...data.section import setting
from .contract import Options, Step, TwoClips
from .losses import cosine_distance, matched
from .projection import Averaged, projector, through


@dataclass(frozen=True, kw_only=True)
class ByolOptions(Options):
    """Options of BYOL."""

    projector: int = setting(256, "width of projections and predictions", low=2)


class ByolHeads(nn.Module):
    """Projector of the student, its average for the targets, and the predictor."""

    def __init__(self, projection: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.projection, self.predictor = Averaged(projection), predictor


class Byol(TwoClips):
    """A clip predicts another's moving-average projection."""

    family = "contrast"
    source = "BYOL, Grill et al. 2020, arXiv 2006.07733"
    differences = (
        "clips at random times are the views; the average is that of fit.momentum (from 0.996 to 1 in the paper). "
        "Unlike rho_byol, the embedding is taken before the projector"
    )
    options = ByolOptions

    def heads(self, width: int, features: int) -> nn.Module:
        """Projector g and predictor q."""
        hidden, out = self.settings.hidden_width, self.own.projector
        return ByolHeads(projector(width, hidden, out), projector(out, hidden, out))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """2 - 2 cos to targets, both ways; the pretext is to find the other clip's target in the batch."""
        heads = cast(ByolHeads, step.heads)
        projected_RP = heads.projection.student(step.student().flatten(0, 1))
        forecast_BKP = heads.predictor(projected_RP).unflatten(0, (-1, 2))
        target_BKP = through(heads.projection.teacher, step.teacher()).detach()
        loss = 2.0 * cosine_distance(forecast_BKP, target_BKP.flip(1))
        return loss, matched(forecast_BKP[:, 0], target_BKP[:, 1])

    def after(self, step: Step) -> None:
        """Move the targets' projector."""
        cast(ByolHeads, step.heads).projection.follow(self.settings, step.number)
