"""A ring of earlier targets, the queue of MoCo (He et al. 2020), as further negatives of eq. (11)."""

from __future__ import annotations

import torch
from torch import Tensor


class NegativesQueue:
    """The last ``size`` unit targets (Q, E), the oldest overwritten first; empty until targets come."""

    def __init__(self, size: int, width: int, device: torch.device) -> None:
        self.rows_QE = torch.zeros(size, width, device=device)
        self.pushed = 0

    def filled(self) -> Tensor | None:
        """What is in it; None while that is nothing."""
        count = min(self.pushed, len(self.rows_QE))
        return self.rows_QE[:count] if count else None

    def push(self, unit_RE: Tensor) -> None:
        """Put the R newest targets in, in the place of the oldest; of more than Q, the last Q."""
        size = len(self.rows_QE)
        if not size:
            return
        unit_RE = unit_RE[-size:]
        place = (self.pushed + torch.arange(len(unit_RE), device=unit_RE.device)) % size
        self.rows_QE[place] = unit_RE
        self.pushed += len(unit_RE)
