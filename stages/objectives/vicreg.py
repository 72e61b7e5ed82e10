"""VICReg: two clips of a video agree, while every dimension varies and no two say the same."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Options, Step, TwoClips
from .losses import covariance, matched, variance
from .projection import projector


@dataclass(frozen=True, kw_only=True)
class VicregOptions(Options):
    """Weights of the three terms, and the expander."""

    invariance: float = setting(25.0, "weight of the squared difference of two clips, lambda", low=0.0)
    variance: float = setting(25.0, "weight of the hinge on standard deviations, mu", low=0.0)
    covariance: float = setting(1.0, "weight of the squared covariances, nu", low=0.0)
    expander: int = setting(1024, "width of the three layers of the expander (8192 in the paper)", low=2)


class Vicreg(TwoClips):
    """Two clips agree; dimensions vary and do not covary.

    So nothing collapses, without negatives, teacher or predictor.
    """

    family = "contrast"
    source = "VICReg, Bardes et al. 2022, arXiv 2105.04906"
    differences = "two clips at random times are the views, in place of augmented pictures; a narrower expander"
    defaults = WITHOUT_TEACHER
    options = VicregOptions
    figures = ("loss", "invariance", "variance", "covariance", "pretext")

    def heads(self, width: int, features: int) -> nn.Module:
        """The expander; the embedding before it is what is kept."""
        return projector(width, self.own.expander, self.own.expander, layers=3)

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """The weighted sum of the three terms; the pretext is to find the video's other clip in the batch."""
        one_BP, other_BP = (step.heads(z_BE) for z_BE in step.student().unbind(dim=1))
        return *self.terms(one_BP, other_BP), matched(one_BP, other_BP)

    def terms(self, one_BP: Tensor, other_BP: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The weighted sum, and its invariance, variance and covariance."""
        own, agree = self.own, functional.mse_loss(one_BP, other_BP)
        vary = variance(one_BP) + variance(other_BP)
        covary = covariance(one_BP) + covariance(other_BP)
        return own.invariance * agree + own.variance * vary + own.covariance * covary, agree, vary, covary
