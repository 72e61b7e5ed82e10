"""A job on its way to other machines: once to each, block by block, into memory that its processes there share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch import distributed as dist

from ...data.errors import StageError
from ..machine.shared_memory import Shared, SharedMemory, mapped
from .process_group import together

BLOCK_BYTES = 16 << 20


def send(parcel: Shared, group: dist.ProcessGroup, pulse: Callable[[], None]) -> None:
    """Send what lies in common memory, as the first of ``group``, to its others.

    Raises:
        ProcessLost: if one of them is lost.
    """
    digest = hashlib.sha256()
    for block in _blocks(mapped(parcel.path)):
        digest.update(block)
        _broadcast(torch.frombuffer(block, dtype=torch.uint8), group)
        pulse()
    _broadcast(torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8), group)


@contextmanager
def received(parcel: Shared, group: dist.ProcessGroup) -> Iterator[Shared]:
    """What the first of ``group`` sends, in common memory of this machine, where others may open it in the context.

    Args:
        parcel: where it lies on the first one's machine.
        group: one process of each machine.

    Raises:
        ProcessLost: if one of them is lost.
        StageError: if what arrives is not what was sent.
    """
    memory = SharedMemory(parcel.size)
    try:
        digest = hashlib.sha256()
        for block in _blocks(mapped(memory.path)):
            _broadcast(torch.frombuffer(block, dtype=torch.uint8), group)
            digest.update(block)
        sent = torch.empty(digest.digest_size, dtype=torch.uint8)
        _broadcast(sent, group)
        if bytes(sent.tolist()) != digest.digest():
            raise StageError(
                "what arrived is not what was sent (their SHA-256 differ): run again, and see to the network"
            )
        yield Shared(memory.path, parcel.bounds)
    finally:
        memory.close()


def _blocks(view: memoryview) -> Iterator[memoryview]:
    return (view[begin : begin + BLOCK_BYTES] for begin in range(0, len(view), BLOCK_BYTES))


def _broadcast(tensor: Tensor, group: dist.ProcessGroup) -> None:
    with together():
        dist.broadcast(tensor, 0, group=group)
