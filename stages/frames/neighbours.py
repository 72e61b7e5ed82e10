"""Videos that look alike: nearest in the mean of their raw features, found without labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .memory import FrameTensors

BLOCK = 1024  # videos compared with all others at once
LEAST_FAR = 30  # at most one in so many videos counts as near, so that a small set has no far neighbours


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The usable videos of a run and how near they are.

    Attributes:
        usable_V: positions in the memory.
        pooled_VD: unit vectors: centred mean-pooled features, or what else neighbours were found in.
        nearest_VK: the K nearest other usable videos of each, as positions in ``usable_V``.
        wanted: how many were asked for.
    """

    usable_V: Tensor
    pooled_VD: Tensor
    nearest_VK: Tensor
    wanted: int

    @classmethod
    def of(cls, memory: FrameTensors, usable_V: Tensor, neighbours: int) -> Neighbours:
        """Compare all usable videos; ``neighbours`` may be 0, and no more than one in thirty are taken."""
        pooled_VD = memory.some(usable_V).mean_pool()
        pooled_VD = functional.normalize(pooled_VD - pooled_VD.mean(dim=0), dim=1)
        count = min(neighbours, max(1, len(usable_V) // LEAST_FAR))
        parts = [_nearest(pooled_VD, begin, count) for begin in range(0, len(usable_V), BLOCK)]
        return cls(usable_V.cpu(), pooled_VD.cpu(), torch.cat(parts).cpu(), neighbours)

    @classmethod
    def given(cls, usable_V: Tensor, pooled_VD: Tensor, nearest_VK: Tensor, wanted: int) -> Neighbours:
        """Neighbours that were found elsewhere, in any space; ``wanted`` is how many were asked for."""
        unit_VD = functional.normalize(pooled_VD - pooled_VD.mean(dim=0), dim=1)
        return cls(usable_V.cpu(), unit_VD.cpu(), nearest_VK.cpu(), wanted)

    def neighbour_of(self, video_P: Tensor, share: float, generator: torch.Generator) -> Tensor:
        """For a ``share`` of the videos one of their nearest, each alike likely; for the rest the video itself."""
        place_P = torch.searchsorted(self.usable_V, video_P)
        pick_P = torch.randint(self.nearest_VK.shape[1], place_P.shape, generator=generator)
        chosen_P = self.usable_V[self.nearest_VK[place_P, pick_P]]
        return torch.where(torch.rand(place_P.shape, generator=generator) < share, chosen_P, video_P)

    def batch_order(self, size: int, generator: torch.Generator) -> Tensor:
        """An order in which runs of ``size`` videos look alike, as positions in ``usable_V``.

        All videos are halved again and again: in each part two videos are drawn, and the others go to the nearer,
        half to each. Other draws give other batches, so that neighbours meet in ever new company. The parts are
        shuffled in the end.
        """
        order_V = torch.randperm(len(self.usable_V), generator=generator)
        parts = [order_V]
        while max(map(len, parts)) > size:
            parts = [half for part in parts for half in self._halves(part, size, generator)]
        whole = len(parts) - (len(parts[-1]) < size)  # a shorter one comes last
        shuffled = [parts[number] for number in torch.randperm(whole, generator=generator).tolist()]
        return torch.cat(shuffled + parts[whole:])

    def _halves(self, part: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        if len(part) <= size:
            return (part,)
        one, other = torch.randint(len(part), (2,), generator=generator).tolist()
        toward_D = self.pooled_VD[part[one]] - self.pooled_VD[part[other]]
        sorted_part = part[torch.argsort(self.pooled_VD[part] @ toward_D, stable=True)]
        half = -(-len(part) // (2 * size)) * size  # whole batches
        return sorted_part[:half], sorted_part[half:]


def _nearest(pooled_VD: Tensor, begin: int, count: int) -> Tensor:
    similarity_BV = pooled_VD[begin : begin + BLOCK] @ pooled_VD.T
    row_B = torch.arange(len(similarity_BV))
    similarity_BV[row_B, begin + row_B] = -torch.inf
    return similarity_BV.topk(count, dim=1).indices
