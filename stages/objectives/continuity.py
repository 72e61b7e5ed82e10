"""Continuity perception (CPNet): is a section of the clip missing, and where?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .contract import OF_CHANGES, Objective, Step
from .draw import Draw, Drawn
from .losses import classified


class Continuity(Objective):
    """Was a section cut out of a clip, and where?

    Half of the clips have one missing, as long as the clip.
    """

    family = "order"
    source = "CPNet, Liang et al. 2021, arXiv 2112.05883"
    differences = "cached features; justification and localisation, without the approximation of what is missing"
    defaults = OF_CHANGES
    figures = ("loss", "whole", "pretext")
    sees_frames, true_times, least_frames = True, False, 3

    def draw(self, draw: Draw) -> Drawn:
        """The first frames of a window, or its first and its last ones, as many as a clip has."""
        length = draw.settings.clip_length
        rows_PN = draw.rows(draw.stretched(2.0), 2 * length)
        cut_P = 1 + draw.choice(length - 1, len(rows_PN))
        missing_P = draw.choice(2, len(rows_PN))
        place_L = torch.arange(length)
        after_PL = place_L >= cut_P[:, None]
        rows_PL = rows_PN.gather(1, place_L + length * missing_P[:, None] * after_PL)
        return Drawn(rows_PL[:, None], {"missing": missing_P, "cut": cut_P - 1})

    def heads(self, width: int, features: int) -> nn.Module:
        """Two logits of whole or not, and one for each place between two frames."""
        return nn.Linear(width, 2 + self.settings.clip_length - 1)

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """Cross-entropy of whether, and, of clips with a cut, of where; the pretext is where."""
        missing_B, cut_B = step.batch.labels["missing"], step.batch.labels["cut"]
        logits_BC = step.heads(step.student()[:, 0])
        whether, whole = classified(logits_BC[:, :2], missing_B)
        place_BC, cuts = logits_BC[:, 2:], missing_B.sum().clamp(min=1)
        where = (functional.cross_entropy(place_BC, cut_B, reduction="none") * missing_B).sum() / cuts
        found = ((place_BC.argmax(dim=1) == cut_B) * missing_B).sum() / cuts
        return whether + where, whole, found

    def chance(self, step: Step) -> float:
        """One place in so many."""
        return 1.0 / (self.settings.clip_length - 1)
