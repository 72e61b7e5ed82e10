"""The processes that share a job. In a fit each computes its contexts of every batch, all keep the same weights.

Forecasts and targets are gathered, so that InfoNCE sees the whole batch; gradients are added up. The first process
alone reads checkpoints, writes files, looks and decides; the others learn from it what they have to know. One process
alone is a team of one, where nothing is exchanged. Rejected: DistributedDataParallel, whose buckets and hooks serve
autograd's backward pass, which most fits do not take; the gradient lies in one piece here anyway.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed import HashStore, PrefixStore, Store

from ...data.errors import StageError
from ..machine.shared_memory import SharedMemory, mapped
from .network import GLOO_INTERFACE, Lines, loopback

PATIENCE_S = 300.0  # that the others are waited for; a look of the first one takes seconds
Thing = TypeVar("Thing")
_lost = threading.Event()  # a process of the team of this one has ended, and what the team computes is void
_lines = Lines()  # to the others


class ProcessLost(StageError):
    """Another process of the team has ended, or does not answer."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where a process is: which ones share memory with it, and by which interface it reaches the others."""

    leader: int = 0  # the rank of the first process of its machine
    interface: str | None = ""  # empty: all are on one machine; None: gloo's choice


ONE_MACHINE = Home()


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process's ``rank`` among ``size``; ``leader`` is the first one of those on its machine.

    ``store`` is what they tell each other by beside the group; None of a process alone.
    """

    rank: int = 0
    size: int = 1
    leader: int = 0
    store: Store | None = field(default=None, compare=False, repr=False)

    @classmethod
    def joined(
        cls, store: Store, rank: int, size: int, *, device: torch.device, home: Home = ONE_MACHINE
    ) -> ProcessGroup:
        """Meet the others, by what all write into ``store``.

        Raises:
            ProcessLost: if they do not come.
        """
        interface = loopback() if home.interface == "" else home.interface
        if interface is not None:
            os.environ.setdefault(GLOO_INTERFACE, interface)
        _count_groups_from_0()
        _lost.clear()
        with together(), nullcontext() if home == ONE_MACHINE else _lines.noted():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
                store=PrefixStore("ranks", store),
                rank=rank,
                world_size=size,
                timeout=timedelta(seconds=PATIENCE_S),
            )
        return cls(rank, size, home.leader, store)

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files and tells the user."""
        return self.rank == 0

    def leave(self) -> None:
        """Part from the others; whoever still waits for this process is told so."""
        _lines.forget()
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
        with together():
            dist.all_gather(list(whole_RE.chunk(self.size)), part_BE.contiguous())
        return whole_RE

    def add_up(self, tensor: Tensor) -> None:
        """Replace ``tensor`` by its sum over all processes."""
        if self.size > 1:
            with together():
                dist.all_reduce(tensor)

    def meet(self) -> None:
        """Wait until all have come here."""
        self.add_up(torch.zeros(1))

    def copy_first(self, tensor: Tensor) -> None:
        """Replace ``tensor`` by the first process's."""
        if self.size > 1 and tensor.numel():
            with together():
                dist.broadcast(tensor, 0)

    def first(self, make: Callable[[], Thing]) -> Thing:
        """What the first process makes, told to all. It must pickle, and hold no tensors but the CPU's."""
        if self.size == 1:
            return make()
        told: list[Thing | None] = [make() if self.writes else None]
        with together():
            dist.broadcast_object_list(told, 0, device=torch.device("cpu"))
        thing: Thing = told[0]  # type: ignore[assignment]
        return thing

    def part(self, ranks: Sequence[int]) -> dist.ProcessGroup | None:
        """Meet in smaller company, on the processors; all have to call it. None for who is not one of ``ranks``."""
        with together(), _lines.noted():
            made = dist.new_group(list(ranks), timeout=timedelta(seconds=PATIENCE_S), backend="gloo")
        return made if self.rank in ranks else None

    def every(self, holds: bool) -> bool:
        """Whether something holds for every process."""
        if self.size == 1:
            return holds
        count = torch.tensor([float(holds)])
        self.add_up(count)
        return int(count) == self.size

    def common(self, *shape: int, fill: Callable[[Tensor], object]) -> Tensor:
        """One float64 tensor in memory that all processes of a machine share.

        The first one of each machine fills it, all of them alike, and the others wait.
        """
        memory = SharedMemory(8 * math.prod(shape)) if self.rank == self.leader else None
        paths = [""] * self.size
        with together():
            dist.all_gather_object(paths, memory.path if memory else "")
        path = paths[self.leader]
        tensor = torch.frombuffer(mapped(path), dtype=torch.float64, count=math.prod(shape)).view(shape)
        if memory is not None:
            fill(tensor)
        self.meet()  # all have mapped it, and it is filled
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

    gloo notices that itself, as connections close, but not that a machine is silent; its own ``abort`` leaves a call
    that waits as it is, so its connections are cut. NCCL would wait until its time is up (:data:`PATIENCE_S`), in a
    call that nothing else interrupts. What comes of a call that is cut off is void, and so are all results from then
    on.
    """
    _lost.set()  # before anything void comes back
    _lines.cut()
    if dist.is_initialized() and dist.group.WORLD is not None:
        with suppress(RuntimeError):
            dist.group.WORLD.abort()


def is_abandoned() -> bool:
    """Whether that has happened since this process last met others."""
    return _lost.is_set()


@contextmanager
def together() -> Iterator[None]:
    """Something that all processes do at once."""
    if _lost.is_set():
        raise _no_answer()
    try:
        yield
    except RuntimeError as error:
        raise _no_answer() from error


def _no_answer() -> ProcessLost:
    return ProcessLost(
        f"a process that shares the job has ended, or does not answer for {PATIENCE_S:.0f} s: run again to go on"
    )
