"""ViDiDi: a clip and its differences in time, as in a Taylor series, are views of one thing."""

from __future__ import annotations

import torch
from torch import Tensor

from ..frames.memory import Clips
from .contract import WITHOUT_TEACHER, Step
from .losses import matched
from .vicreg import Vicreg

PAIRS = ((0, 0), (0, 1), (1, 1), (1, 2))  # orders of the two views, which take turns


class Vididi(Vicreg):
    """Clips agree with each other's differences in time.

    Each of two clips is seen as it is, or as its first or second difference.
    """

    family = "forecast"
    source = "ViDiDi, Chen et al. 2024, arXiv 2409.02371; loss of VICReg, arXiv 2105.04906"
    differences = (
        "differences of cached features, as large as the clips' deviations from their means; the turns that pairs of "
        "orders take are ours; clips less their mean; a narrower expander"
    )
    defaults = {**WITHOUT_TEACHER, "aggregator": "conv", "inputs": "centered"}
    sees_frames, least_frames = True, 4

    def loss(self, step: Step) -> tuple[Tensor, ...]:
        """VICReg of the pair of orders whose turn it is; the pretext: by a clip, find the other's first difference."""
        terms = self.terms(*self._views(step, PAIRS[step.number % len(PAIRS)]))
        with torch.no_grad():
            return *terms, matched(*self._views(step, (0, 1)))

    def _views(self, step: Step, orders: tuple[int, int]) -> tuple[Tensor, Tensor]:
        one, other = (differenced(step.batch.clip(number), order) for number, order in enumerate(orders))
        return step.heads(step.networks.student(one)), step.heads(step.networks.student(other))


def differenced(clips: Clips, order: int) -> Clips:
    """Differences in time of that order, as large as the clips' deviations from their means."""
    if not order:
        return clips
    moved_BLD = clips.features.diff(n=order, dim=1)
    spread = (clips.features - clips.features.mean(dim=1, keepdim=True)).square().mean().sqrt()
    moved_BLD = moved_BLD * (spread / moved_BLD.square().mean().sqrt().clamp_min(1e-6))
    return Clips(moved_BLD, None if clips.times_s_BL is None else clips.times_s_BL[:, :-order])
