"""Contrastive predictive coding (CPC): tell each coming frame from all other frames, of its video and of others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Objective, Options, Step
from .draw import Draw, Drawn
from .losses import accuracy


@dataclass(frozen=True, kw_only=True)
class CpcOptions(Options):
    """Options of the frames that are foretold."""

    horizons: int = setting(4, "frames after the context that are foretold, each by a matrix of its own", low=1)
    code: int = setting(64, "width of the code of a frame", low=2)


class CpcHead(nn.Module):
    """The code z_t of a frame, and W_k c_t for each horizon k."""

    def __init__(self, width: int, features: int, options: CpcOptions) -> None:
        super().__init__()
        self.code = nn.Linear(features, options.code)
        self.foretell = nn.Linear(width, options.horizons * options.code, bias=False)

    def forward(self, context_BE: Tensor, frames_ND: Tensor) -> Tensor:
        """Logits (B, H, N) of each context and horizon for each of N frames: z_n W_k c."""
        code_NC = self.code(frames_ND)
        foretold_BHC = self.foretell(context_BE).unflatten(1, (-1, code_NC.shape[1]))
        logits_BHN: Tensor = foretold_BHC @ code_NC.T
        return logits_BHN


class Cpc(Objective):
    """Tell each coming frame from all other frames.

    The others are of the same video, seen or coming, and of the other videos of the batch.
    """

    family = "forecast"
    source = "CPC, van den Oord et al. 2018, arXiv 1807.03748"
    differences = "a linear layer on cached features is the encoder; one context per clip, its last; batch negatives"
    defaults = {**WITHOUT_TEACHER, "aggregator": "gru"}
    options = CpcOptions
    figures = ("loss", "pretext", "when")
    sees_frames = True

    def draw(self, draw: Draw) -> Drawn:
        """A clip, and the clip that follows it at once."""
        length = draw.settings.clip_length
        return Drawn(draw.rows(draw.stretched(2.0), 2 * length).unflatten(1, (2, length)))

    def heads(self, width: int, features: int) -> nn.Module:
        """Code of frames, and a matrix for each horizon."""
        return CpcHead(width, features, self.own)

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """InfoNCE for each horizon; "when" is how often the right one of the video's own coming frames is found."""
        coming_BHD = step.batch.frames[:, 1, : self.own.horizons]
        size, horizons, _ = coming_BHD.shape
        seen_ND = step.batch.frames[:, 0].flatten(0, 1)
        context_BE = step.networks.student(step.batch.clip(0))
        logits_BHN = step.heads(context_BE, torch.cat([coming_BHD.flatten(0, 1), seen_ND]))[:, :horizons]
        answer_R = torch.arange(size * horizons, device=logits_BHN.device)
        logits_RN = logits_BHN.flatten(0, 1)
        own_RH = logits_RN[:, : len(answer_R)].view(size, horizons, size, horizons)
        own_RH = own_RH.diagonal(dim1=0, dim2=2).permute(2, 0, 1).flatten(0, 1)
        when = accuracy(own_RH, answer_R % horizons)
        return functional.cross_entropy(logits_RN, answer_R), accuracy(logits_RN, answer_R), when

    def chance(self, step: Step) -> float:
        """One frame in so many."""
        length = step.batch.frames.shape[2]
        coming: int = min(self.own.horizons, length)
        return 1.0 / (len(step.batch) * (length + coming))
