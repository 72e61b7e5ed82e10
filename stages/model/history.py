"""A predictor that sees all of the video up to the forecast: moving averages at several time constants."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...data.fit_settings import FitSettings
from .kernel_residual import KernelResidual

AVERAGES = 6  # time constants, the last one infinite
SHORTEST, LONGEST = 0.2, 8.0  # the first and the last finite time constant before training, in spans of a clip
Seen = tuple[Tensor, Tensor, Tensor]  # embeddings (B, T, E), ages (B, T), weights (B, T)
POWERS = 4  # of log(1 + gap) that weights depend on


class HistoryPredictor(nn.Module):
    """Persistence, corrected by what was seen before, in each dimension by its own weights; ours.

    z is the unit embedding of the context, m_r (in its scale) the exponentially weighted mean of the embeddings of all
    frames seen, with time constant tau_r (exponential smoothing, Brown 1956; tau is learnt). The forecast of the unit
    target after a gap g is

        z + (w_0(g) + v_0(g)) * z + sum_r (w_r(g) + v_r(g)) * (m_r - z) + b(g),

    where w is one weight for all dimensions, v and b have one for each, and all are polynomials in log(1 + g). It
    begins as persistence. The least squared error makes it shorter than 1 where the future is uncertain. When the
    steps are done, :meth:`recall` adds what forecasts missed on training videos that look alike.
    """

    def __init__(self, width: int, settings: FitSettings) -> None:
        super().__init__()
        self.span = settings.span
        shortest, longest = torch.tensor(SHORTEST).log(), torch.tensor(LONGEST).log()
        self.log_tau = nn.Parameter(torch.linspace(float(shortest), float(longest), AVERAGES - 1))
        self.common = nn.Parameter(torch.zeros(POWERS, 1 + AVERAGES))
        self.each = nn.Parameter(torch.zeros(POWERS, 1 + AVERAGES, width))
        self.bias = nn.Parameter(torch.zeros(POWERS, width))
        self.residual = KernelResidual(width)

    def forward(self, context_BE: Tensor, seen: Seen | None, gap_BH: Tensor) -> Tensor:
        """Forecasts (B x H, E) of unit targets.

        Args:
            context_BE: embeddings of the contexts.
            seen: embeddings (B, T, E) of the frames seen, their ages (B, T) in ``fit.unit`` and the frames that each
                stands for (B, T); None: the contexts alone.
            gap_BH: gaps in ``fit.unit``.
        """
        parts_BRE = self._parts(context_BE, seen)
        forecast_BHE = self._smoothed(parts_BRE, gap_BH)
        if len(self.residual.look_PF):
            forecast_BHE = forecast_BHE + self.residual(*_look(parts_BRE), gap_BH / self.span)
        forecast_RE: Tensor = forecast_BHE.flatten(0, 1)
        return forecast_RE

    @torch.no_grad()
    def recall(self, context_PE: Tensor, seen: Seen, gap_P1: Tensor, target_PE: Tensor) -> None:
        """Learn, in closed form, from what is still missed on P training pairs; arguments as of :meth:`forward`."""
        parts_PRE = self._parts(context_PE, seen)
        missed_PE = target_PE - self._smoothed(parts_PRE, gap_P1)[:, 0]
        self.residual.fit(*_look(parts_PRE), gap_P1[:, 0] / self.span, missed_PE)

    def _smoothed(self, parts_BRE: Tensor, gap_BH: Tensor) -> Tensor:
        """The forecasts (B, H, E) from weighted averages."""
        powers_BHP = (gap_BH / self.span).log1p()[..., None] ** torch.arange(POWERS, device=gap_BH.device)
        weight_BHRE = torch.einsum("bhp,pre->bhre", powers_BHP, self.each + self.common[..., None])
        moved_BHE = (weight_BHRE[:, :, : parts_BRE.shape[1]] * parts_BRE[:, None]).sum(dim=2) + powers_BHP @ self.bias
        forecast_BHE: Tensor = parts_BRE[:, :1] + moved_BHE
        return forecast_BHE

    def _parts(self, context_BE: Tensor, seen: Seen | None) -> Tensor:
        """What is weighted, (B, 1 + R, E): the unit context, and how the averages differ from it."""
        length_B1 = context_BE.norm(dim=1, keepdim=True).clamp_min(1e-12)
        context_B1E: Tensor = (context_BE / length_B1)[:, None]
        if seen is None:
            return context_B1E
        seen_BTE, age_BT, weight_BT = seen
        mean_BRE = self._averages(seen_BTE, age_BT / self.span, weight_BT) / length_B1[:, None]
        return torch.cat([context_B1E, mean_BRE - context_B1E], dim=1)

    def _averages(self, seen_BTE: Tensor, age_BT: Tensor, weight_BT: Tensor) -> Tensor:
        """Weighted means (B, R, E) over time, older frames counting less; ages are in spans."""
        rate_R = torch.cat([(-self.log_tau).exp(), self.log_tau.new_zeros(1)])
        share_BRT = weight_BT[:, None] * (-age_BT[:, None] * rate_R[:, None]).exp()
        mean_BRE: Tensor = torch.bmm(share_BRT / share_BRT.sum(dim=2, keepdim=True), seen_BTE)
        return mean_BRE


def _look(parts_BRE: Tensor) -> tuple[Tensor, Tensor]:
    """The context, and the mean of all that was seen (the context where that is not known)."""
    context_BE = parts_BRE[:, 0]
    return context_BE, context_BE if parts_BRE.shape[1] == 1 else context_BE + parts_BRE[:, -1]
