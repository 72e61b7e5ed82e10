"""Latent flow matching (after VEDIT): a small transformer carries noise to the coming frames, given an embedding."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...data.section import setting
from ..model.aggregators import HEADS, time_positions
from .contract import WITHOUT_TEACHER, Objective, Options, Step
from .draw import Draw, Drawn
from .losses import energy_score, skill

FOLLOWED = 4  # videos of a batch whose futures are drawn for the figures: drawing costs more than a training step


@dataclass(frozen=True, kw_only=True)
class FlowOptions(Options):
    """Options of the transformer, and of the futures that are drawn."""

    hidden: int = setting(64, "width of the transformer", low=4)
    layers: int = setting(2, "layers of the transformer", low=1)
    samples: int = setting(4, "futures drawn of a video for the figures", low=2)
    steps: int = setting(4, "Euler steps from noise to a future", low=1)


class Velocity(nn.Module):
    """The velocity of noised frames: a transformer over them and one token that is the context's embedding."""

    def __init__(self, width: int, features: int, options: FlowOptions) -> None:
        super().__init__()
        hidden = options.hidden
        self.into, self.context = nn.Linear(features, hidden), nn.Linear(width, hidden)
        heads = math.gcd(hidden, HEADS)
        layer = nn.TransformerEncoderLayer(hidden, heads, 2 * hidden, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, options.layers, enable_nested_tensor=False)
        self.out = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, features))

    def forward(self, noised_BLD: Tensor, time_B: Tensor, z_BE: Tensor) -> Tensor:
        """Velocities (B, L, D) at flow times in [0, 1]; frames are known by their place."""
        hidden, place_L = self.into.out_features, torch.arange(noised_BLD.shape[1], device=noised_BLD.device)
        frames_BLH = self.into(noised_BLD) + time_positions(place_L / len(place_L), hidden)
        tokens_BNH = torch.cat([self.context(z_BE)[:, None], frames_BLH], dim=1)
        tokens_BNH = tokens_BNH + time_positions(time_B[:, None], hidden)
        velocity_BLD: Tensor = self.out(self.layers(tokens_BNH)[:, 1:])
        return velocity_BLD


class Flow(Objective):
    """Carry noise to the frames that follow a clip.

    A velocity is learnt; many futures can be drawn of one embedding.
    """

    family = "forecast"
    source = "VEDIT, Lin et al. 2024, arXiv 2410.03478; loss of flow matching, Lipman et al. 2022, arXiv 2210.02747"
    differences = (
        "made are the next clip's frames, less the clip's mean and by their spread; the clip is seen through its "
        "embedding alone; flow times are uniform; a plain transformer in place of adaptive norms"
    )
    defaults = {**WITHOUT_TEACHER, "aggregator": "gru", "inputs": "centered"}
    options = FlowOptions
    figures = ("loss", "best_of_k", "pretext")
    sees_frames, least_frames = True, 2

    def draw(self, draw: Draw) -> Drawn:
        """A clip, and the clip that follows it at once."""
        length = draw.settings.clip_length
        return Drawn(draw.rows(draw.stretched(2.0), 2 * length).unflatten(1, (2, length)))

    def heads(self, width: int, features: int) -> nn.Module:
        """The velocity."""
        return Velocity(width, features, self.own)

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Mean squared error of the velocity x - noise at noise + s (x - noise).

        "best_of_k" is the skill of the best of the futures drawn, the pretext that of all by the energy score, both
        against as many futures of other videos.
        """
        seen_BLD, coming_BLD = step.batch.frames.unbind(1)
        moved_BLD = coming_BLD - seen_BLD.mean(dim=1, keepdim=True)
        moved_BLD = moved_BLD / moved_BLD.square().mean().sqrt().clamp_min(1e-6)
        z_BE = step.networks.student(step.batch.clip(0))
        noise_BLD = step.noise(*moved_BLD.shape)
        time_B = torch.rand(len(z_BE), generator=step.generator).to(z_BE.device)
        noised_BLD = noise_BLD + time_B[:, None, None] * (moved_BLD - noise_BLD)
        error_BLD = step.heads(noised_BLD, time_B, z_BE) - (moved_BLD - noise_BLD)
        return error_BLD.square().mean(), *self._followed(step, z_BE[:FOLLOWED], moved_BLD)

    @torch.no_grad()
    def _followed(self, step: Step, z_BE: Tensor, moved_BLD: Tensor) -> tuple[Tensor, Tensor]:
        samples, moved_BF = self.own.samples, moved_BLD.flatten(1)
        z_RE = z_BE.repeat_interleave(samples, dim=0)
        noise_RLD = step.noise(len(z_RE), *moved_BLD.shape[1:])
        made_RLD = carried(lambda x_RLD, time_R: step.heads(x_RLD, time_R, z_RE), noise_RLD, self.own.steps)
        made_BSF = made_RLD.flatten(1).unflatten(0, (-1, samples))
        others_BSF = torch.stack([moved_BF.roll(1 + sample, dims=0) for sample in range(samples)], dim=1)[: len(z_BE)]
        wanted_BF = moved_BF[: len(z_BE)]
        best, best_other = (
            (futures_BSF - wanted_BF[:, None]).norm(dim=2).amin(dim=1).mean() for futures_BSF in (made_BSF, others_BSF)
        )
        score, score_other = (energy_score(futures_BSF, wanted_BF) for futures_BSF in (made_BSF, others_BSF))
        return skill(best, best_other), skill(score, score_other)


def carried(velocity: Callable[[Tensor, Tensor], Tensor], noise_BLD: Tensor, steps: int) -> Tensor:
    """Where a flow takes noise from time 0 to 1, by Euler steps."""
    x_BLD = noise_BLD
    for step in range(steps):
        x_BLD = x_BLD + velocity(x_BLD, x_BLD.new_full((len(x_BLD),), step / steps)) / steps
    return x_BLD
