"""The processes that share a fit: each computes its contexts of every batch, all keep the same weights.

Forecasts and targets are gathered, so that InfoNCE sees the whole batch; gradients are added up. One process alone
is a team of one, where both do nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from ..data.errors import StageError


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's ``rank`` among ``size``."""

    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls) -> Ranks:
        """The team that torchrun started; a team of one without it."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files and tells the user."""
        return self.rank == 0

    def share(self, contexts: int) -> slice:
        """Which contexts of a batch of so many are this process's.

        Raises:
            StageError: if the batch cannot be shared evenly.
        """
        if contexts % self.size:
            raise StageError(
                f"a batch of {contexts} contexts cannot be shared by {self.size} processes: fit.batch_size must be a "
                "multiple of their number (and there must be as many training videos)"
            )
        part = contexts // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def gather(self, part_BE: Tensor) -> Tensor:
        """The rows of all processes, in their order."""
        if self.size == 1:
            return part_BE
        whole_RE = part_BE.new_empty(self.size * len(part_BE), *part_BE.shape[1:])
        dist.all_gather_into_tensor(whole_RE, part_BE.contiguous())
        return whole_RE

    def add_up(self, tensor: Tensor) -> None:
        """Replace ``tensor`` by its sum over all processes."""
        if self.size > 1:
            dist.all_reduce(tensor)

    def agree(self, value: float) -> float:
        """The first process's value, everywhere."""
        if self.size == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.broadcast(told, 0)
        return float(told)
