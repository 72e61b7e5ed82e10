"""Bidirectional feature prediction: from the present, past and future together; the two swapped are the hard case."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...data.section import setting
from .contract import WITHOUT_TEACHER, Objective, Options, Step
from .draw import Draw, Drawn
from .losses import accuracy, info_nce


@dataclass(frozen=True, kw_only=True)
class BidirectionalOptions(Options):
    """Options of the space in which present and (past, future) meet."""

    width: int = setting(64, "width of that space", low=2)
    hidden: int = setting(128, "width of the hidden layers before it", low=4)


class Bidirectional(Objective):
    """Find a clip's past and future, not these swapped.

    The present clip is to find its pair among those of other videos, and among all of them swapped.
    """

    family = "forecast"
    source = "Behrmann et al. 2021, arXiv 2011.06037"
    differences = "cached features; batch negatives; past and future are the clips next to the present one"
    defaults = {**WITHOUT_TEACHER, "aggregator": "gru", "temperature": 0.07}
    options = BidirectionalOptions
    figures = ("loss", "found", "pretext")
    sees_frames = True

    def draw(self, draw: Draw) -> Drawn:
        """Past, present and future: three clips in a row."""
        length = draw.settings.clip_length
        return Drawn(draw.rows(draw.stretched(3.0), 3 * length).unflatten(1, (3, length)))

    def heads(self, width: int, features: int) -> nn.Module:
        """What is made of the present, and of past and future side by side."""
        return nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, self.own.hidden), nn.ReLU(), nn.Linear(self.own.hidden, self.own.width))
            for inputs in (width, 2 * width)
        )

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """InfoNCE over both sorts of negatives; "found" is the share of right answers among all of them.

        The pretext is how often a pair is preferred to itself swapped.
        """
        past_BE, present_BE, future_BE = step.student().unbind(1)
        of_present, of_pair = step.heads.children()
        pair_BW = of_pair(torch.cat([past_BE, future_BE], dim=1))
        swapped_BW = nn.functional.normalize(of_pair(torch.cat([future_BE, past_BE], dim=1)), dim=1)
        loss, logits_BN = info_nce(of_present(present_BE), pair_BW, self.settings.temperature, swapped_BW)
        right_BB, swapped_BB = logits_BN.tensor_split(2, dim=1)
        direction = (right_BB.diagonal() > swapped_BB.diagonal()).float().mean()
        return loss, accuracy(logits_BN), direction

    def chance(self, step: Step) -> float:
        """One of two."""
        return 0.5
