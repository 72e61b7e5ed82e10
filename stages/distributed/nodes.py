"""What the machines of a team say of themselves before anything is sent: whether they can do the job together."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch.distributed import Store

from ...data.errors import StageError
from ..machine.installed import installed, other_versions
from ..machine.memory import machine_bytes
from .network import interface_of, own_address
from .process_group import ONE_MACHINE, Home
from .seat import Seat

DECIDING = ("torch", "numpy")  # packages that a fit's figures go by
HELLO = "hello"  # in the store, by node
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the team, told as JSON, which every version can read."""

    host: str
    address: str | None  # towards the first one
    leader: int  # the rank of its first process
    size: int  # processes
    gpus: int  # that each of them sees
    memory: int  # bytes
    versions: dict[str, str]

    @classmethod
    def here(cls, seat: Seat) -> Node:
        """This one."""
        return cls(
            socket.gethostname(),
            own_address(os.environ.get("MASTER_ADDR", "")),
            seat.leader,
            seat.local_size,
            torch.cuda.device_count() if torch.cuda.is_available() else 0,
            machine_bytes(),
            installed(DECIDING),
        )

    def say(self, store: Store, seat: Seat) -> None:
        """Tell the first process."""
        store.set(hello(seat.node), json.dumps(asdict(self)))

    @classmethod
    def heard(cls, store: Store, number: int) -> Node:
        """What a node has said."""
        return cls(**json.loads(store.get(hello(number))))

    def has(self, rank: int) -> bool:
        """Whether the process of that rank is here."""
        return self.leader <= rank < self.leader + self.size

    def refuse_unfit(self, first: Node, device: torch.device, size: int) -> None:
        """Refuse a node that cannot share the job.

        Args:
            first: the node that the job was planned on.
            device: what is computed on.
            size: bytes that are to be held here.

        Raises:
            StageError: if it has other versions, no GPU for each process, or too little memory.
        """
        if (other := other_versions(self.versions, first.versions)) is not None:
            raise StageError(
                f"the node {self.host} has {other[0]}, and the first one, {first.host}, {other[1]}, so what they "
                "compute could differ: install the same versions on all nodes"
            )
        if device.type == "cuda" and self.gpus < self.size and self.gpus != 1:
            raise StageError(
                f"the node {self.host} has {self.gpus} CUDA devices for {self.size} processes, and the first one, "
                f"{first.host}, computes on them: leave it out, start fewer processes, or take --set fit.device=cpu"
            )
        if size > self.memory:
            raise StageError(
                f"the node {self.host} has {self.memory / GIB:.3g} GiB of memory, and the job takes {size / GIB:.3g}: "
                f"--set fit.memory_gb={self.memory / GIB / 4:.2g} leaves the features in the files of the work folder, "
                "which all nodes then have to see at the same path"
            )


def hello(number: int) -> str:
    """Where in the store a node says what it is."""
    return f"{HELLO}/{number}"


def unused_gpus(first: Node, others: Sequence[Node], device: torch.device) -> str:
    """A note, if the first node alone has no GPU; empty otherwise."""
    hosts = [node.host for node in others if node.gpus]
    if device.type == "cuda" or first.gpus or not hosts:
        return ""
    return (
        f"the first node, {first.host}, has no CUDA device, so none is used, nor those of {', '.join(hosts)}: start it "
        "on a node that has (torchrun --node-rank 0)"
    )


def home(seat: Seat, peer: str | None) -> Home:
    """Where this process is.

    Args:
        seat: of this process.
        peer: another machine's address, for those on the first one; the others know the first one's.
    """
    if seat.nodes == 1:
        return ONE_MACHINE
    other = peer if seat.node == 0 else os.environ["MASTER_ADDR"]
    return Home(seat.leader, interface_of(own_address(other) if other else None))
