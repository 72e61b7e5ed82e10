"""ViDiDi: a clip and its differences in time, as in a Taylor series, are views of one thing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.section import setting
from ..frames.memory import Clips
from .contract import Objective, Options, Step
from .draw import Draw, Drawn
from .losses import covariance, matched, variance
from .projection import projector

PAIRS = ((0, 0), (0, 1), (1, 1), (1, 2))  # orders of the two views, which take turns


@dataclass(frozen=True, kw_only=True)
class VididiOptions(Options):
    """Weights of VICReg's three terms, and its expander."""

    invariance: float = setting(25.0, "weight of the squared difference of two views", low=0.0)
    variance: float = setting(25.0, "weight of the hinge on standard deviations", low=0.0)
    covariance: float = setting(1.0, "weight of the squared covariances", low=0.0)
    expander: int = setting(256, "width of the three layers of the expander", low=2)


class Vididi(Objective):
    """Two clips of a video agree, each as it is, or as its first or second difference in time."""

    family = "forecast"
    source = "ViDiDi, Chen et al. 2024, arXiv 2409.02371; loss of VICReg, arXiv 2105.04906, eq. 6"
    differences = (
        "differences of cached features, brought to the spread of the features; the turns that pairs of orders take "
        "are ours; a narrower expander"
    )
    defaults = {"neighbours": 0, "predictor": "none", "momentum": 0.0, "aggregator": "conv"}
    options = VididiOptions
    figures = ("loss", "invariance", "variance", "covariance", "pretext")
    sees_frames, least_frames = True, 4

    def draw(self, draw: Draw) -> Drawn:
        """Two clips anywhere."""
        return Drawn(draw.two())

    def heads(self, width: int, features: int) -> nn.Module:
        """The expander, one for all orders."""
        return projector(width, self.own.expander, self.own.expander, layers=3)

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """VICReg of the pair of orders whose turn it is; the pretext: by its features, find a video's difference."""
        one_BP, other_BP = self._views(step, PAIRS[step.number % len(PAIRS)])
        agree = functional.mse_loss(one_BP, other_BP)
        vary = variance(one_BP) + variance(other_BP)
        covary = covariance(one_BP) + covariance(other_BP)
        loss = self.own.invariance * agree + self.own.variance * vary + self.own.covariance * covary
        with torch.no_grad():
            found = matched(*self._views(step, (0, 1)))
        return loss, agree, vary, covary, found

    def chance(self, step: Step) -> float:
        """One video in so many."""
        return 1.0 / len(step.batch)

    def _views(self, step: Step, orders: tuple[int, int]) -> tuple[Tensor, Tensor]:
        one, other = (differenced(step.batch.clip(number), order) for number, order in enumerate(orders))
        return step.heads(step.networks.student(one)), step.heads(step.networks.student(other))


def differenced(clips: Clips, order: int) -> Clips:
    """Differences in time of that order, as large as the clips' own deviations from their means."""
    if not order:
        return clips
    moved_BLD = clips.features.diff(n=order, dim=1)
    spread = (clips.features - clips.features.mean(dim=1, keepdim=True)).square().mean().sqrt()
    moved_BLD = moved_BLD * (spread / moved_BLD.square().mean().sqrt().clamp_min(1e-6))
    return Clips(moved_BLD, None if clips.times_s_BL is None else clips.times_s_BL[:, :-order])
