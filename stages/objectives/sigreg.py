"""SIGReg: forecast the next embedding, and keep embeddings from collapsing by a test of normality alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ...data.section import setting
from .contract import Objective, Options, Step
from .draw import Draw, Drawn
from .losses import matched, skill


@dataclass(frozen=True, kw_only=True)
class SigregOptions(Options):
    """Options of the regularisation."""

    weight: float = setting(0.1, "lambda, of the test beside the forecast (LeWorldModel's code: 0.09)", low=0.0)
    slices: int = setting(1024, "random directions that are tested in a step", low=1)
    knots: int = setting(17, "places at which characteristic functions are compared", low=3)
    reach: float = setting(3.0, "largest of these places", low=0.1)


class Sigreg(Objective):
    """Forecast the next embedding, kept Gaussian by a test.

    Nothing else keeps embeddings from collapsing: no teacher, no stopped gradient, no negatives.
    """

    family = "forecast"
    source = (
        "LeWorldModel, Maes et al. 2026, arXiv 2603.19312: next embedding and SIGReg, the test of normality of LeJEPA, "
        "Balestriero and LeCun 2025, arXiv 2511.08544 (Epps and Pulley, on random slices); compare LeVJEPA, "
        "Kuhn et al. 2026, arXiv 2608.27395"
    )
    differences = (
        "clips of cached features across a gap, which the predictor sees, in place of frames and actions; no batch "
        "norm in projection and predictor; LeVJEPA has no predictor: there, crops of one clip agree (lambda 0.02)"
    )
    defaults = {
        "neighbours": 0,
        "predictor": "gap",
        "projection": "mlp",
        "embedding_width": 128,
        "momentum": 0.0,
    }
    options = SigregOptions
    figures = ("loss", "forecast", "normality", "skill", "pretext")

    def draw(self, draw: Draw) -> Drawn:
        """A context and its future, across the gap."""
        pairs = draw.pairs()
        rows_P2L = torch.stack([draw.rows(pairs.context), draw.rows(pairs.future)], dim=1)
        return Drawn(rows_P2L, {"gap": pairs.gap_B.float()})

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Squared error + lambda SIGReg; the gradient reaches the targets, too. The pretext: to find one's future."""
        z_BKE, own = step.student(), self.own
        forecast_BE = step.networks.predictor(z_BKE[:, 0], step.batch.labels["gap"][:, None])
        slice_ES = functional.normalize(step.noise(z_BKE.shape[2], own.slices), dim=0)
        normality = torch.stack([epps_pulley(z_BE @ slice_ES, own.knots, own.reach) for z_BE in z_BKE.unbind(1)]).mean()
        forecast = functional.mse_loss(forecast_BE, z_BKE[:, 1])
        over_persistence = skill(forecast, functional.mse_loss(z_BKE[:, 0], z_BKE[:, 1]))
        found = matched(forecast_BE, z_BKE[:, 1])
        return forecast + own.weight * normality, forecast, normality, over_persistence, found

    def chance(self, step: Step) -> float:
        """One future in so many."""
        return 1.0 / len(step.batch)


def epps_pulley(x_RS: Tensor, knots: int, reach: float) -> Tensor:
    """Distance of samples to a standard normal, mean over S slices (LeJEPA; Epps and Pulley 1983).

    R times the integral over t of |mean(exp(i t x)) - exp(-t^2 / 2)|^2 exp(-t^2 / 2), by the trapezoid rule from
    -``reach`` to ``reach``; the integrand is even, so that half the places are enough.
    """
    t_T = torch.linspace(0.0, reach, knots, device=x_RS.device)
    normal_T = (-t_T.square() / 2).exp()
    angle_TRS = t_T[:, None, None] * x_RS
    error_TS = (angle_TRS.cos().mean(dim=1) - normal_T[:, None]).square() + angle_TRS.sin().mean(dim=1).square()
    return 2.0 * len(x_RS) * torch.trapezoid(error_TS * normal_T[:, None], t_T, dim=0).mean()
