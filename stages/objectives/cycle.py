"""Cycle-contrast: from a frame to the nearest video, softly, and back to the nearest frame: home again?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Objective, Options, Step
from .draw import Draw, Drawn
from .losses import accuracy
from .projection import projector, through


@dataclass(frozen=True, kw_only=True)
class CycleOptions(Options):
    """Options of cycle-contrast."""

    frames: int = setting(4, "frames of each video, by which a way leads out and home", low=1, high=64)
    projector: int = setting(128, "width of the projections that are compared", low=2)


class Cycle(Objective):
    """From a frame to its video, and home again."""

    family = "cycle"
    source = "Cycle-contrast, Kong et al. 2020, arXiv 2010.14810"
    differences = (
        "a frame is embedded as a clip that stands still; home is any frame of the video; cosines over "
        "fit.temperature; of the losses, the cycle alone, in both directions"
    )
    defaults = WITHOUT_TEACHER
    options = CycleOptions

    def draw(self, draw: Draw) -> Drawn:
        """Frames of the whole video, each as a clip that stands still, then a clip of the whole video."""
        length, frames = draw.settings.clip_length, self.own.frames
        rows_PN = draw.whole(max(length, 8 * frames))
        chosen_PM = rows_PN.gather(1, draw.shuffles(rows_PN.shape[1])[:, :frames])
        still_PML = chosen_PM[..., None].expand(-1, -1, length)
        return Drawn(torch.cat([still_PML, draw.whole(length)[:, None]], dim=1))

    def heads(self, width: int, features: int) -> nn.Module:
        """The projector, of frames and videos alike."""
        return projector(width, self.settings.hidden_width, self.own.projector)

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """-log of the chance to come home; the pretext is the share of frames that are likeliest to."""
        z_BKP = through(step.heads, step.student())
        video_BP, frame_RP, tau = z_BKP[:, -1], z_BKP[:, :-1].flatten(0, 1), self.settings.temperature
        home_R = torch.arange(len(video_BP), device=video_BP.device).repeat_interleave(self.own.frames)
        end_RB = cycled(frame_RP, video_BP, tau).unflatten(1, (len(video_BP), -1)).sum(dim=2)  # in any frame of a video
        end_BB = cycled(video_BP, frame_RP, tau)
        from_frames = functional.nll_loss(end_RB.clamp_min(1e-12).log(), home_R)
        from_videos = -end_BB.diagonal().clamp_min(1e-12).log().mean()
        return from_frames + from_videos, accuracy(end_RB.detach(), home_R)

    def chance(self, step: Step) -> float:
        """One video in so many."""
        return 1.0 / len(step.batch)


def cycled(start_RP: Tensor, there_SP: Tensor, temperature: float) -> Tensor:
    """Chances (R, R) to come from each start to each, by way of its soft nearest neighbour over there (unit rows)."""
    near_RP = (start_RP @ there_SP.T / temperature).softmax(dim=1) @ there_SP
    return (functional.normalize(near_RP, dim=1) @ start_RP.T / temperature).softmax(dim=1)
