"""What a forecast missed where videos looked alike: kernel ridge regression of its residuals, in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

NEARNESS = 6.0  # beta of exp(beta (cos - 1)); chosen on split 1 of the 1,865 videos (docs/findings.md)
NOISE = 3.0  # variance of what cannot be foreseen over that of what can, at a kernel of 1; chosen with it
AT_NO_GAP = 0.5  # the residual grows as 0.5 + log(1 + g); chosen with it


class KernelResidual(nn.Module):
    """Residuals of forecasts, guessed from those of P training pairs; nothing until :meth:`fit`.

    The mean of a Gaussian process (Rasmussen and Williams 2006, eq. 2.23): k(., P) (K + noise I)^-1 R, with
    k = s(g) s(g') exp(beta (cos - 1)), cos that of two looks and s(g) = 0.5 + log(1 + g), g in spans of a clip. A look
    is a context and the mean of all that was seen, each centred and made unit, side by side. Videos of one recording
    may be among the pairs: the ridge is what keeps each from being learnt by heart.
    """

    center_E: Tensor
    look_PF: Tensor
    weight_PE: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("center_E", torch.zeros(width))
        self.register_buffer("look_PF", torch.zeros(0, 2 * width))
        self.register_buffer("weight_PE", torch.zeros(0, width))

    def fit(self, context_PE: Tensor, mean_PE: Tensor, gap_P: Tensor, residual_PE: Tensor) -> None:
        """Solve for P pairs; the cost is that of a P x P system.

        Args:
            context_PE: unit embeddings of the contexts.
            mean_PE: means of what was seen, in their scale.
            gap_P: in spans of a clip.
            residual_PE: targets less forecasts.
        """
        self.center_E = context_PE.mean(dim=0)
        self.look_PF = self._look(context_PE, mean_PE)
        scale_P1 = _scale(gap_P)[:, None]
        kernel_PP = self._kernel(self.look_PF) * scale_P1 * scale_P1.T
        kernel_PP.diagonal().add_(NOISE)
        factor_PP = torch.linalg.cholesky(kernel_PP)
        self.weight_PE = torch.cholesky_solve(residual_PE, factor_PP) * scale_P1

    def forward(self, context_BE: Tensor, mean_BE: Tensor, gap_BH: Tensor) -> Tensor:
        """Residuals (B, H, E) to expect."""
        alike_BE = self._kernel(self._look(context_BE, mean_BE)) @ self.weight_PE
        return alike_BE[:, None] * _scale(gap_BH)[..., None]

    def _look(self, context_BE: Tensor, mean_BE: Tensor) -> Tensor:
        parts = [functional.normalize(of_BE - self.center_E, dim=1) for of_BE in (context_BE, mean_BE)]
        return torch.cat(parts, dim=1) / 2**0.5

    def _kernel(self, look_BF: Tensor) -> Tensor:
        """Exp(beta (cos - 1)) of looks and those of the pairs, (B, P)."""
        return (NEARNESS * (look_BF @ self.look_PF.T - 1.0)).exp()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """How many pairs there are is known from what was saved alone."""
        for name in ("look_PF", "weight_PE"):
            saved = state_dict.get(prefix + name)
            if saved is not None:
                setattr(self, name, getattr(self, name).new_zeros(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _scale(gap: Tensor) -> Tensor:
    return AT_NO_GAP + gap.log1p()
