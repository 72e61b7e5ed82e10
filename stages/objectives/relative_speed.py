"""Relative speed perception (RSPNet): two clips at one pace are nearer to each other than to a third at another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Objective, Options, Step
from .draw import Draw, Drawn
from .losses import info_nce


@dataclass(frozen=True, kw_only=True)
class RelativeSpeedOptions(Options):
    """Options of the triplets."""

    pace: float = setting(2.0, "how much faster the fast clips are", low=1.1)
    margin: float = setting(0.5, "by which cosines of like pace are to be larger (ours)", low=0.0, high=2.0)
    instance: float = setting(1.0, "weight of telling the video by its appearance, whatever the pace", low=0.0)
    width: int = setting(64, "width of the two projections", low=2)


class RelativeSpeed(Objective):
    """Which two of three clips are at the same pace?

    And, whatever the pace, of which video are they?
    """

    family = "tempo"
    source = "RSPNet, Chen et al. 2020, arXiv 2011.07949 (RSP and A-VID)"
    differences = (
        "cached features; clips less their mean; one encoder and batch negatives in place of moving-average keys and a "
        "queue; the margin is of cosines, not of cosines over a temperature; the second task has the clip at the other "
        "pace alone as positive, not also the one at the same"
    )
    defaults = {**WITHOUT_TEACHER, "aggregator": "conv", "inputs": "centered"}
    options = RelativeSpeedOptions
    figures = ("loss", "ranking", "instance", "pretext")
    sees_frames, true_times, least_frames = True, False, 2

    def draw(self, draw: Draw) -> Drawn:
        """Three clips anywhere in a video, the first two slow and the third fast, or the other way round."""
        fast_P = draw.choice(2, len(draw.video_P))
        paces_3P = torch.tensor([1.0, self.own.pace])[torch.stack([fast_P, fast_P, 1 - fast_P])]
        return Drawn(torch.stack([draw.rows(draw.stretched(pace_P)) for pace_P in paces_3P], dim=1))

    def heads(self, width: int, features: int) -> nn.Module:
        """A projection for pace and one for appearance."""
        return nn.ModuleList(nn.Linear(width, self.own.width) for _ in range(2))

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """The margin ranking loss, and InfoNCE between paces; the pretext is how often like pace is nearer."""
        z_B3E = step.student()
        pace_B3W, look_B3W = (head(z_B3E) for head in step.heads.children())
        like_B = functional.cosine_similarity(pace_B3W[:, 0], pace_B3W[:, 1], dim=1)
        unlike_B = functional.cosine_similarity(pace_B3W[:, 0], pace_B3W[:, 2], dim=1)
        ranking = (self.own.margin - (like_B - unlike_B)).clamp(min=0.0).mean()
        instance, _ = info_nce(look_B3W[:, 0], look_B3W[:, 2], self.settings.temperature)
        return ranking + self.own.instance * instance, ranking, instance, (like_B > unlike_B).float().mean()

    def chance(self, step: Step) -> float:
        """One of two."""
        return 0.5
