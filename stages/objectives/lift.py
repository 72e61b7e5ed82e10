"""LiFT: what stays and what moves of a clip, as a straight line in a latent space that gives its frames back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Objective, Options, Step
from .draw import Draw, Drawn
from .losses import skill


@dataclass(frozen=True, kw_only=True)
class LiftOptions(Options):
    """Options of the straight line."""

    orthogonal: float = setting(0.1, "weight of |cos| between the static and the dynamic half", low=0.0)
    hidden: int = setting(128, "width of the decoder's hidden layer", low=4)


class Lift(Objective):
    """Give frames back along a line, z_s + t / (L - 1) z_d.

    The static half z_s and the dynamic half z_d of the embedding are its descriptor.
    """

    family = "set"
    source = "LiFT, Bagad and Zisserman 2025, arXiv 2509.08502"
    differences = "the halves are those of the projected embedding; the decoder is an MLP with one hidden layer"
    defaults = {**WITHOUT_TEACHER, "aggregator": "static_dynamic", "projection": "linear"}
    options = LiftOptions
    figures = ("loss", "reconstruction", "cosine", "motion", "pretext")
    sees_frames, least_frames = True, 2

    def draw(self, draw: Draw) -> Drawn:
        """One clip anywhere."""
        return Drawn(draw.rows(draw.windows())[:, None])

    def heads(self, width: int, features: int) -> nn.Module:
        """The decoder of points of the line."""
        hidden = self.own.hidden
        return nn.Sequential(nn.Linear(width // 2, hidden), nn.GELU(), nn.Linear(hidden, features))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Mean squared error of the frames, and 0.1 |cos|.

        The pretext is the skill against the batch's mean frame, "motion" that against each clip's own mean frame.
        """
        frames_BLD = step.batch.frames[:, 0]
        z_BE = step.student()[:, 0]
        half = z_BE.shape[1] // 2
        static_BW, dynamic_BW = z_BE[:, :half], z_BE[:, half : 2 * half]
        line_BLW = straight(static_BW, dynamic_BW, frames_BLD.shape[1])
        error = (step.heads(line_BLW) - frames_BLD).square().mean()
        cosine = functional.cosine_similarity(static_BW, dynamic_BW, dim=1).abs().mean()
        motion, spread = (
            skill(error, (frames_BLD - frames_BLD.mean(dim=over, keepdim=True)).square().mean()) for over in (1, (0, 1))
        )
        return error + self.own.orthogonal * cosine, error, cosine, motion, spread


def straight(static_BW: Tensor, dynamic_BW: Tensor, length: int) -> Tensor:
    """Points (B, L, W) of a line, from z_s to z_s + z_d."""
    share_L1 = torch.linspace(0.0, 1.0, length, device=static_BW.device)[:, None]
    return static_BW[:, None] + share_L1 * dynamic_BW[:, None]
