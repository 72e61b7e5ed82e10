"""The processes that share a fit: each computes its contexts of every batch, all keep the same weights.

Forecasts and targets are gathered, so that InfoNCE sees the whole batch; gradients are added up. The first process
alone reads checkpoints, writes files, looks and decides; the others learn from it what they have to know. One process
alone is a team of one, where nothing is exchanged. Rejected: DistributedDataParallel, whose buckets and hooks serve
autograd's backward pass, which most fits do not take; the gradient lies in one piece here anyway.
"""

from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed import HashStore, PrefixStore, Store

from ...data.errors import StageError
from ..machine.shared_memory import SharedMemory, mapped

PATIENCE_S = 300.0  # that the others are waited for; a look of the first one takes seconds
LOOPBACK = ("lo", "lo0")
Thing = TypeVar("Thing")
_lost = threading.Event()  # a process of the team of this one has ended, and what the team computes is void


class ProcessLost(StageError):
    """Another process of the team has ended, or does not answer."""


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process's ``rank`` among ``size``."""

    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls, store: Store, rank: int, size: int, *, device: torch.device) -> ProcessGroup:
        """Meet the others, by what all write into ``store``.

        Raises:
            ProcessLost: if they do not come.
        """
        interface = next((name for _, name in socket.if_nameindex() if name in LOOPBACK), None)
        if interface is not None:  # all are on this machine; its name may lead nowhere
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        _count_groups_from_0()
        _lost.clear()
        with _together():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
                store=PrefixStore("ranks", store),
                rank=rank,
                world_size=size,
                timeout=timedelta(seconds=PATIENCE_S),
            )
        return cls(rank, size)

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files and tells the user."""
        return self.rank == 0

    def leave(self) -> None:
        """Part from the others; whoever still waits for this process is told so."""
        if dist.is_initialized():
            with suppress(RuntimeError) if _lost.is_set() else nullcontext():  # nobody is there to part from
                dist.destroy_process_group()

    def refuse_lost(self) -> None:
        """Ask before something is believed, or kept, that the others had a part in.

        Raises:
            ProcessLost: if one of them has ended (:func:`abandon`).
        """
        if self.size > 1 and _lost.is_set():
            raise _no_answer()

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
        with _together():
            dist.all_gather(list(whole_RE.chunk(self.size)), part_BE.contiguous())
        return whole_RE

    def add_up(self, tensor: Tensor) -> None:
        """Replace ``tensor`` by its sum over all processes."""
        if self.size > 1:
            with _together():
                dist.all_reduce(tensor)

    def copy_first(self, tensor: Tensor) -> None:
        """Replace ``tensor`` by the first process's."""
        if self.size > 1 and tensor.numel():
            with _together():
                dist.broadcast(tensor, 0)

    def first(self, make: Callable[[], Thing]) -> Thing:
        """What the first process makes, told to all. It must pickle, and hold no tensors but the CPU's."""
        if self.size == 1:
            return make()
        told: list[Thing | None] = [make() if self.writes else None]
        with _together():
            dist.broadcast_object_list(told, 0, device=torch.device("cpu"))
        thing: Thing = told[0]  # type: ignore[assignment]
        return thing

    def common(self, *shape: int, fill: Callable[[Tensor], object]) -> Tensor:
        """One float64 tensor in memory that all processes share; the first one fills it, and the others wait."""
        memory = SharedMemory(8 * math.prod(shape)) if self.writes else None
        path = self.first(lambda: memory.path if memory else "")
        tensor = torch.frombuffer(mapped(path), dtype=torch.float64, count=math.prod(shape)).view(shape)
        if self.writes:
            fill(tensor)
        self.add_up(torch.zeros(1))  # all have mapped it, and it is filled
        if memory is not None:
            memory.close()
        return tensor


def _count_groups_from_0() -> None:
    """Make torch forget groups that could not be begun.

    It names a group by the number of those that this process has begun, also in vain, and the name is part of what the
    processes meet by: a new process and one whose last attempt had failed would wait for each other until time is up
    (findings/torch_group_after_a_failure.sh). To end a group sets the number to 0.
    """
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    dist.destroy_process_group()


def abandon() -> None:
    """Have this process give up whatever it waits for the others in, since one of them has ended; from any thread.

    gloo notices that itself, as connections close. NCCL would wait until its time is up (:data:`PATIENCE_S`), in a call
    that nothing interrupts. What comes of a call that is cut off is void, and so are all results from then on.
    """
    _lost.set()  # before anything void comes back
    if dist.is_initialized() and dist.group.WORLD is not None:
        with suppress(RuntimeError):
            dist.group.WORLD.abort()


def is_abandoned() -> bool:
    """Whether that has happened since this process last met others."""
    return _lost.is_set()


@contextmanager
def _together() -> Iterator[None]:
    """Something that all processes do at once."""
    if _lost.is_set():
        raise _no_answer()
    try:
        yield
    except RuntimeError as error:
        raise _no_answer() from error


def _no_answer() -> ProcessLost:
    return ProcessLost(
        f"a process that shares the fit has ended, or does not answer for {PATIENCE_S:.0f} s: run again to go on"
    )
