"""Aggregators, eq. (5) of arXiv 2606.14765: clips (B, L, D) and times (B, L) in seconds to vectors (B, ``width``).

The contract is that one method and that one attribute. The paper's is the temporal mean. The others see spread or
order; those with layers work at ``fit.hidden_width``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ...data.fit_settings import FitSettings

LEAST_VARIANCE = 1e-6  # added, so that the root has a gradient
HEADS = 4
LAYERS = 2
KERNEL = 3
LONGEST_S, SHORTEST_S = 64.0, 0.04  # periods of the time positions: from a clip of minutes to a frame


class Aggregator(nn.Module, ABC):
    """What every aggregator is; ``width`` is that of its output."""

    width: int

    @abstractmethod
    def forward(self, clips_BLD: Tensor, times_s_BL: Tensor) -> Tensor:
        """Aggregate clips into (B, width)."""


class Mean(Aggregator):
    """The temporal mean, blind to order: what the paper calls primarily temporal averaging."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, clips_BLD: Tensor, times_s_BL: Tensor) -> Tensor:
        """Average over the L frames, whatever their times: (B, D)."""
        return clips_BLD.mean(dim=1)


class MeanSd(Aggregator):
    """Mean and standard deviation over time, side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 2 * width

    def forward(self, clips_BLD: Tensor, times_s_BL: Tensor) -> Tensor:
        """Average, and spread, over L."""
        mean_BD = clips_BLD.mean(dim=1)
        variance_BD = (clips_BLD - mean_BD[:, None]).square().mean(dim=1)  # torch.var over L takes 20 times as long
        return torch.cat([mean_BD, (variance_BD + LEAST_VARIANCE).sqrt()], dim=1)


class AttentionPool(Aggregator):
    """A weighted mean, the weights from one learnt query; begins as the mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, clips_BLD: Tensor, times_s_BL: Tensor) -> Tensor:
        """Weigh and sum over L."""
        weight_BL1 = self.score(clips_BLD).softmax(dim=1)
        pooled_BD: Tensor = (weight_BL1 * clips_BLD).sum(dim=1)
        return pooled_BD


class TemporalConv(Aggregator):
    """Residual 1-D convolutions over time, then the mean and the maximum of what they found."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.width = hidden
        self.into = nn.Linear(width, hidden)
        self.layers = nn.ModuleList(
            nn.Conv1d(hidden, hidden, KERNEL, padding=KERNEL // 2, dilation=1) for _ in range(LAYERS)
        )
        self.out = nn.Linear(2 * hidden, hidden)

    def forward(self, clips_BLD: Tensor, times_s_BL: Tensor) -> Tensor:
        """Convolve over L and pool."""
        found_BWL = self.into(clips_BLD).transpose(1, 2)
        for layer in self.layers:
            found_BWL = found_BWL + torch.relu(layer(found_BWL))
        pooled: Tensor = self.out(torch.cat([found_BWL.mean(dim=2), found_BWL.amax(dim=2)], dim=1))
        return pooled


class Recurrent(Aggregator):
    """A GRU's last state."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.width = hidden
        self.gru = nn.GRU(width, hidden, batch_first=True)

    def forward(self, clips_BLD: Tensor, times_s_BL: Tensor) -> Tensor:
        """Read the clip in order."""
        _, last_1BW = self.gru(clips_BLD)
        state_BW: Tensor = last_1BW[0]
        return state_BW


class TimeTransformer(Aggregator):
    """A transformer over the frames and one summary token, with positions from the true times in seconds."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.width = hidden
        heads = math.gcd(hidden, HEADS)
        self.into = nn.Linear(width, hidden)
        self.summary = nn.Parameter(0.02 * torch.randn(hidden))
        layer = nn.TransformerEncoderLayer(hidden, heads, 2 * hidden, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, clips_BLD: Tensor, times_s_BL: Tensor) -> Tensor:
        """Attend over time; the summary token's output."""
        return self.summaries(clips_BLD, times_s_BL, self.summary[None])[:, 0]

    def summaries(self, clips_BLD: Tensor, times_s_BL: Tensor, tokens_SW: Tensor) -> Tensor:
        """Outputs (B, S, W) of so many summary tokens."""
        frames_BLW = self.into(clips_BLD) + time_positions(times_s_BL, tokens_SW.shape[1])
        tokens_BSW = tokens_SW.expand(frames_BLW.shape[0], -1, -1)  # len() would fix it in an export
        seen_BNW: Tensor = self.norm(self.layers(torch.cat([tokens_BSW, frames_BLW], dim=1)))
        return seen_BNW[:, : len(tokens_SW)]


class StaticDynamic(TimeTransformer):
    """The same with two summary tokens, for what stays and for what moves, side by side (LiFT, arXiv 2509.08502)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(width, hidden)
        self.width = 2 * hidden
        self.dynamic = nn.Parameter(0.02 * torch.randn(hidden))

    def forward(self, clips_BLD: Tensor, times_s_BL: Tensor) -> Tensor:
        """Attend over time; the outputs of both tokens."""
        return self.summaries(clips_BLD, times_s_BL, torch.stack([self.summary, self.dynamic])).flatten(1)


def time_positions(times_s_BL: Tensor, width: int) -> Tensor:
    """Sines and cosines (B, L, width) of times in seconds, their periods spaced evenly in the logarithm."""
    half = (width + 1) // 2
    share = torch.arange(half, device=times_s_BL.device) / max(1, half - 1)
    period_s = LONGEST_S * (SHORTEST_S / LONGEST_S) ** share
    angle = 2 * math.pi * times_s_BL[..., None] / period_s
    return torch.cat([angle.sin(), angle.cos()], dim=-1)[..., :width]


def make_aggregator(width: int, settings: FitSettings) -> Aggregator:
    """The aggregator that ``fit.aggregator`` names, for features of ``width``."""
    hidden = settings.hidden_width
    match settings.aggregator:
        case "mean":
            return Mean(width)
        case "mean_sd":
            return MeanSd(width)
        case "attention":
            return AttentionPool(width)
        case "conv":
            return TemporalConv(width, hidden)
        case "gru":
            return Recurrent(width, hidden)
        case "transformer":
            return TimeTransformer(width, hidden)
        case "static_dynamic":
            return StaticDynamic(width, hidden)
        case other:  # settings check their choices
            raise AssertionError(other)
