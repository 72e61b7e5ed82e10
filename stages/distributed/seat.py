"""A process's place among those that torchrun started; read before anything heavy is imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seat:
    """Ranks count through the processes node by node, and within a node.

    torchrun calls a machine a node; two of its agents on one machine are two nodes as well.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among those of the node
    local_size: int = 1
    node: int = 0
    nodes: int = 1

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> Seat:
        """This process's; that of a process alone where torchrun did not start it."""
        if "LOCAL_WORLD_SIZE" not in environment:  # WORLD_SIZE alone is set by others too
            return cls()

        def number(name: str, default: int) -> int:
            return int(environment.get(name, default))

        local_size = number("LOCAL_WORLD_SIZE", 1)
        return cls(
            number("RANK", 0),
            number("WORLD_SIZE", local_size),
            number("LOCAL_RANK", 0),
            local_size,
            number("GROUP_RANK", 0),
            number("GROUP_WORLD_SIZE", 1),
        )

    @property
    def leader(self) -> int:
        """Rank of the first process of this node."""
        return self.rank - self.local_rank

    @property
    def leads(self) -> bool:
        """Whether this is the first process of its node."""
        return self.local_rank == 0
