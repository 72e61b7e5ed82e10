"""Memory that a worker process and its parent share, so that frames are handed over without being sent.

A slot holds one piece of frames. The worker writes it, the parent reads it and gives it back. The memory has
no name and so cannot be left behind, whoever is killed; nor does it count against a container's /dev/shm.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import reduction
from typing import Any

import torch
from torch import Tensor

from ..machine.shared_memory import named_file, nameless_file, remove

TICK_BYTES = mmap.PAGESIZE  # the first page holds the worker's tick


@dataclass(frozen=True, slots=True)
class SlotLayout:
    """``count`` slots of ``slot_bytes`` bytes each."""

    count: int
    slot_bytes: int

    @property
    def total_bytes(self) -> int:
        """Bytes of all, the tick's page included."""
        return TICK_BYTES + self.count * self.slot_bytes


class FrameSlots:
    """The slots of one worker. Made by the parent; pickled into the worker when that is started."""

    def __init__(self, layout: SlotLayout, descriptor: int | None = None) -> None:
        self.layout, self._path = layout, ""
        if descriptor is not None:
            self._descriptor = descriptor
        elif hasattr(reduction, "DupFd"):
            self._descriptor = nameless_file(layout.total_bytes)
        else:  # Windows hands no descriptors on: the worker opens a file by its name
            self._descriptor, self._path = named_file(layout.total_bytes)
        self._memory = mmap.mmap(self._descriptor, layout.total_bytes)
        self._tick = memoryview(self._memory)[:8].cast("Q")
        self._pinned: int | None = None  # address

    def __reduce__(self) -> tuple[Any, ...]:
        if self._path:
            return _open, (self.layout, self._path)
        return _attach, (self.layout, reduction.DupFd(self._descriptor))

    @property
    def tick(self) -> int:
        """Steps that the worker has taken."""
        return self._tick[0]

    def step(self) -> None:
        """Count a step; called by the worker."""
        self._tick[0] += 1

    def view(self, slot: int, shape: Sequence[int]) -> Tensor:
        """The beginning of a slot as uint8 of that shape."""
        offset = TICK_BYTES + slot * self.layout.slot_bytes
        return torch.frombuffer(self._memory, dtype=torch.uint8, count=math.prod(shape), offset=offset).view(*shape)

    def pin(self) -> bool:
        """Let a GPU copy straight from this memory, beside the processor's work; False where that is refused.

        Containers and WSL may limit how much memory can be locked; copies then wait for each other.
        """
        whole = torch.frombuffer(self._memory, dtype=torch.uint8)
        try:
            torch.cuda.check_error(torch.cuda.cudart().cudaHostRegister(whole.data_ptr(), whole.numel(), 0))
        except RuntimeError:
            return False
        self._pinned = whole.data_ptr()
        return True

    def close(self) -> None:
        """Give the memory back once no view is left."""
        if self._pinned is not None:
            torch.cuda.check_error(torch.cuda.cudart().cudaHostUnregister(self._pinned))
        self._tick.release()
        os.close(self._descriptor)
        if self._path:
            remove(self._path)


def _open(layout: SlotLayout, path: str) -> FrameSlots:
    return FrameSlots(layout, os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0)))


def _attach(layout: SlotLayout, descriptor: Any) -> FrameSlots:
    return FrameSlots(layout, descriptor.detach())
