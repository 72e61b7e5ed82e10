"""SCALE: half of a video's pieces tell the other half, piece by piece and as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.section import setting
from ..model.aggregators import time_positions
from .contract import WITHOUT_TEACHER, Objective, Options, Step
from .draw import Draw, Drawn
from .losses import matched, nt_xent

TIME = 32  # numbers that say when in the video a piece is
SPREAD_S = 8.0  # a video's length among the periods of time positions, whatever it is in seconds


@dataclass(frozen=True, kw_only=True)
class ScaleOptions(Options):
    """Options of SCALE."""

    contrast: float = setting(0.03, "weight of the contrast between sets", low=0.0)


class PieceDecoder(nn.Module):
    """What an embedding of a set says of a piece at another time, beside the mean of the set; at first nothing."""

    def __init__(self, width: int, hidden: int, features: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, features)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(nn.Linear(width + TIME, hidden), nn.GELU(), last)

    def forward(self, z_BE: Tensor, when_BL: Tensor) -> Tensor:
        """Features (B, L, D) at times from the set's first piece on, as shares of the video."""
        place_BLT = time_positions(SPREAD_S * when_BL, TIME)
        told_BLD: Tensor = self.layers(torch.cat([z_BE[:, None].expand(-1, when_BL.shape[1], -1), place_BLT], dim=2))
        return told_BLD


class Scale(Objective):
    """Half of a video's pieces tell the other, hidden half.

    Piece by piece, from their times, and as a set among the sets of other videos.
    """

    family = "set"
    source = "SCALE, Sameni et al. 2022, arXiv 2211.17042: masked clip features are predicted"
    differences = (
        "pieces are frames spread over the video; half of them are hidden, always; the aggregator is the set's "
        "transformer, and hidden pieces are decoded from its one vector and their times, not within it; "
        "halves are contrasted as sets, too"
    )
    defaults = {**WITHOUT_TEACHER, "aggregator": "transformer", "projection": "linear", "clip_length": 8}
    options = ScaleOptions
    figures = ("loss", "masked", "contrast", "found", "pretext")
    sees_frames = True

    def draw(self, draw: Draw) -> Drawn:
        """Pieces spread over the video, in two halves at random."""
        length = draw.settings.clip_length
        rows_PN = draw.whole(2 * length)
        place_P2L = draw.shuffles(2 * length).unflatten(1, (2, length)).sort(dim=2).values
        rows_P2L = rows_PN.gather(1, place_P2L.flatten(1)).view_as(place_P2L)
        return Drawn(rows_P2L, {"when": place_P2L.float() / (2 * length)})

    def heads(self, width: int, features: int) -> nn.Module:
        """The decoder of pieces."""
        return PieceDecoder(width, 2 * self.settings.hidden_width, features)

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Squared error of hidden pieces, over that of the mean of those seen, + contrast; the pretext is the skill."""
        z_BKE, frames_BKLD, when_BKL = step.student(), step.batch.frames, step.batch.labels["when"]
        hidden_BKLD = frames_BKLD.flip(1)
        mean_BK1D = frames_BKLD.mean(dim=2, keepdim=True)
        later_BKL = when_BKL.flip(1) - when_BKL[:, :, :1]
        told_BKLD = torch.stack([step.heads(z_BKE[:, k], later_BKL[:, k]) for k in range(2)], dim=1)
        error = functional.mse_loss(mean_BK1D + told_BKLD, hidden_BKLD)
        trivial = functional.mse_loss(mean_BK1D.expand_as(hidden_BKLD), hidden_BKLD)
        masked = error / trivial.clamp_min(1e-12)
        contrast, _ = nt_xent(z_BKE[:, 0], z_BKE[:, 1], self.settings.temperature)
        found = matched(z_BKE[:, 0], z_BKE[:, 1])
        return masked + self.own.contrast * contrast, masked, contrast, found, 1.0 - masked.detach()
