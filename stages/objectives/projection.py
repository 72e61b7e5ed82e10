"""Heads that several objectives put on top of embeddings while they are trained."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.fit_settings import FitSettings
from ...data.schedules import fit_pace


def projector(inputs: int, hidden: int, outputs: int, layers: int = 2) -> nn.Sequential:
    """Linear layers with batch norm and ReLU between, as SimCLR, BYOL, SwAV and VICReg use them.

    Batch norms keep no running statistics: heads are never used after training.
    """
    widths = [inputs, *[hidden] * (layers - 1)]
    inner: list[nn.Module] = []
    for before, after in pairwise(widths):
        inner += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after, track_running_stats=False), nn.ReLU()]
    return nn.Sequential(*inner, nn.Linear(widths[-1], outputs))


def through(head: nn.Module, z_BKE: Tensor) -> Tensor:
    """Unit outputs (B, K, P) of a head for all clips of a batch together."""
    out_RP: Tensor = head(z_BKE.flatten(0, 1))
    return functional.normalize(out_RP, dim=1).view(*z_BKE.shape[:2], -1)


class Averaged(nn.Module):
    """A head of the student, and its moving average beside the teacher, eq. (6) of MoFore."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.student, self.teacher = head, deepcopy(head).requires_grad_(False)

    @torch.no_grad()
    def follow(self, settings: FitSettings, step: int) -> None:
        """Move the average as the teacher is moved in that step."""
        toward = fit_pace(step, settings).toward
        for average, now in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            average.lerp_(now, toward)
