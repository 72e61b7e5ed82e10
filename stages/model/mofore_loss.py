"""The objective L = L_forecast + lambda L_con (eq. 12 of arXiv 2606.14765) and its gradient by the forecasts.

Both terms are functions of the forecasts and the targets alone, and no gradient flows into targets, so the
gradient is written out here once. Networks take it from there: with autograd's backward pass or with their own, in
one process or, after gathering, in several.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.fit_settings import FitSettings

LEAST_NORM = 1e-12


@dataclass(frozen=True, slots=True)
class MoforeLoss:
    """Value and gradient of eq. (12).

    Attributes:
        normalize: take eq. (9) between unit vectors, where the error is 2 - 2 cos (in [0, 4]).
        mean_over_width: divide eq. (9) by E.
        weight: lambda.
        temperature: tau of eq. (11).
        symmetric: take eq. (11) from the targets to the forecasts too, half and half.

    Differences: the paper leaves normalisation, reduction and direction open; all are named settings.
    """

    normalize: bool
    mean_over_width: bool
    weight: float
    temperature: float
    symmetric: bool

    @classmethod
    def of(cls, settings: FitSettings) -> MoforeLoss:
        """The objective of a run."""
        return cls(
            settings.forecast_normalize,
            settings.forecast_reduction == "mean",
            settings.contrast_weight,
            settings.temperature,
            settings.contrast_symmetric,
        )

    def __call__(
        self, forecast_RE: Tensor, target_RE: Tensor, group_R: Tensor | None = None, queue_QE: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Value and gradient for R forecasts.

        Eq. (9) is the mean over R of ||zhat_t - z_t||^2. Eq. (11), InfoNCE: row i's positive is target i, its
        negatives are the targets of other videos in the batch and what the queue holds; sim is the cosine, the sum
        in the denominator runs over the positive too; mean over R.

        Args:
            forecast_RE: predictions zhat_t.
            target_RE: the teacher's embeddings z_t.
            group_R: video of each row; rows of one video are not each other's negatives. None: all differ.
            queue_QE: unit targets of earlier steps.

        Returns:
            The gradient (R, E) by the forecasts; the figures (4,): loss, eq. (9), eq. (11), mean cosine; and
            the unit targets (R, E).
        """
        length_R1 = forecast_RE.norm(dim=1, keepdim=True).clamp_min_(LEAST_NORM)
        unit_RE = forecast_RE / length_R1
        target_unit_RE = target_RE / target_RE.norm(dim=1, keepdim=True).clamp_min_(LEAST_NORM)
        cosine_RR = unit_RE @ target_unit_RE.T
        cosine = cosine_RR.diagonal().mean()
        rows, scale = len(forecast_RE), 1.0 / (forecast_RE.shape[1] if self.mean_over_width else 1)
        # Both terms by the unit forecasts; through the normalisation in the end.
        by_unit_RE, contrast = self._contrast(cosine_RR, target_unit_RE, unit_RE, group_R, queue_QE)
        if self.normalize:
            error = (2.0 - 2.0 * cosine) * scale
            by_unit_RE = by_unit_RE.sub_(target_unit_RE, alpha=2.0 * scale / rows)
        gradient_RE = (by_unit_RE - unit_RE * (unit_RE * by_unit_RE).sum(dim=1, keepdim=True)).div_(length_R1)
        if not self.normalize:
            apart_RE = forecast_RE - target_RE
            error = apart_RE.square().sum() * (scale / rows)
            gradient_RE.add_(apart_RE, alpha=2.0 * scale / rows)
        return gradient_RE, torch.stack([error + self.weight * contrast, error, contrast, cosine]), target_unit_RE

    def _contrast(
        self,
        cosine_RR: Tensor,
        target_RE: Tensor,
        unit_RE: Tensor,
        group_R: Tensor | None,
        queue_QE: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Lambda times the gradient of eq. (11) by the unit forecasts, and its value."""
        logits_RR = cosine_RR / self.temperature
        if group_R is not None:
            same_RR = group_R[:, None] == group_R
            same_RR.fill_diagonal_(False)
            logits_RR = logits_RR.masked_fill(same_RR, -torch.inf)
        rows = len(logits_RR)
        strength = self.weight / (self.temperature * rows)
        side = 0.5 if self.symmetric else 1.0
        logits_RN = (
            logits_RR if queue_QE is None else torch.cat([logits_RR, unit_RE @ queue_QE.T / self.temperature], 1)
        )
        log_share_RN = logits_RN.log_softmax(dim=1)
        contrast = -side * log_share_RN.diagonal().mean()
        share_RN = log_share_RN.exp_()
        by_cosine_RR = share_RN[:, :rows] * side
        if self.symmetric:
            log_share_RR = logits_RR.log_softmax(dim=0)
            contrast = contrast - side * log_share_RR.diagonal().mean()
            by_cosine_RR = by_cosine_RR.add_(log_share_RR.exp_(), alpha=side)
        by_cosine_RR.diagonal().sub_(1.0)
        by_unit_RE = (by_cosine_RR @ target_RE).mul_(strength)
        if queue_QE is not None:
            by_unit_RE.addmm_(share_RN[:, rows:], queue_QE, alpha=side * strength)
        return by_unit_RE, contrast
