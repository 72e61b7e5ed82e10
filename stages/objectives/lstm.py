"""LSTM encoder-decoder: what a clip is summed up in must serve to play it backwards and to go on with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Objective, Options, Step
from .draw import Draw, Drawn
from .losses import skill


@dataclass(frozen=True, kw_only=True)
class LstmOptions(Options):
    """Options of the decoders."""

    hidden: int = setting(64, "width of a decoder's state", low=4)


class Decoder(nn.Module):
    """An LSTM that begins in a state made of the embedding and is fed nothing (the unconditioned decoder)."""

    def __init__(self, width: int, features: int, hidden: int) -> None:
        super().__init__()
        self.begin = nn.Linear(width, 2 * hidden)
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, features)

    def forward(self, z_BE: Tensor, length: int) -> Tensor:
        """Frames (B, L, D)."""
        hidden_1BH, cell_1BH = self.begin(z_BE)[None].chunk(2, dim=2)
        nothing_BL1 = z_BE.new_zeros(len(z_BE), length, 1)
        state_BLH, _ = self.lstm(nothing_BL1, (hidden_1BH.tanh(), cell_1BH.contiguous()))
        frames_BLD: Tensor = self.out(state_BLH)
        return frames_BLD


class Lstm(Objective):
    """Play a clip backwards, and go on with it.

    Two decoders make the clip in reverse, and the clip that follows, from the embedding alone.
    """

    family = "forecast"
    source = "Srivastava et al. 2015, arXiv 1502.04681 (the composite model, on percepts)"
    differences = (
        "the encoder is fit.aggregator (gru); decoded is what differs from the clip's mean; decoders are unconditioned"
    )
    defaults = {**WITHOUT_TEACHER, "aggregator": "gru", "inputs": "centered"}
    options = LstmOptions
    figures = ("loss", "reconstruction", "prediction", "pretext")
    sees_frames = True

    def draw(self, draw: Draw) -> Drawn:
        """A clip, and the clip that follows it at once."""
        length = draw.settings.clip_length
        return Drawn(draw.rows(draw.stretched(2.0), 2 * length).unflatten(1, (2, length)))

    def heads(self, width: int, features: int) -> nn.Module:
        """A decoder of the past and one of the future."""
        return nn.ModuleList(Decoder(width, features, self.own.hidden) for _ in range(2))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Mean squared errors of both; the pretext is the skill of both against the clip's mean."""
        frames_BKLD = step.batch.frames
        moved_BKLD = frames_BKLD - frames_BKLD[:, :1].mean(dim=2, keepdim=True)
        wanted_BKLD = torch.stack([moved_BKLD[:, 0].flip(1), moved_BKLD[:, 1]], dim=1)
        z_BE, length = step.networks.student(step.batch.clip(0)), frames_BKLD.shape[2]
        made_BKLD = torch.stack([decoder(z_BE, length) for decoder in step.heads.children()], dim=1)
        error_K = (made_BKLD - wanted_BKLD).square().mean(dim=(0, 2, 3))
        loss = error_K.sum()
        return loss, error_K[0], error_K[1], skill(loss, wanted_BKLD.square().mean(dim=(0, 2, 3)).sum())
