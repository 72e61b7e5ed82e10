"""Batches filled across videos, and the forward passes over them.

On the processor a pass is done when it returns. What a GPU does instead is :mod:`.gpu_batches`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.arrays import Float16
from ...data.planes import PlaneLayout
from ..backbone.encoder import Encoder
from ..decode.pool import Held

IN_FLIGHT = 4  # batches whose features may be on their way back
AUTO_BATCH = {"cpu": 32, "cuda": 256}

Owners = list[tuple[int, int]]  # (key of a video, how many of the batch's rows are its own), in order
Back = tuple[Tensor, "torch.cuda.Event | None"]  # features, and when they are there


@dataclass(frozen=True, slots=True)
class _Pass:
    owners: Owners
    features_BD: Tensor
    done: torch.cuda.Event | None


class Batches:
    """One batch that is being filled, and those whose features have not come back.

    Attributes:
        encoder: what is run; it may be replaced between passes.
        size: rows of the batch.
        filled: rows of it that are taken.
    """

    def __init__(self, encoder: Encoder, batch_size: int) -> None:
        self.encoder, self.filled = encoder, 0
        self.size = batch_size or AUTO_BATCH[encoder.device.type]
        height, width = encoder.preprocess.size
        self._batch_BHWC = torch.zeros(self.size, height, width, 3, dtype=torch.uint8, device=encoder.device)
        self._owners: Owners = []
        self._passes: deque[_Pass] = deque()

    def put(self, key: int, pixels: Tensor, layout: PlaneLayout | None) -> int:
        """Take as many frames as there is room for, of what a worker made, and say how many."""
        room = min(len(pixels), self.size - self.filled)
        self._take(pixels[:room], layout)
        self._owners.append((key, room))
        self.filled += room
        return room

    def taken(self) -> Held | None:
        """When what was put may be overwritten; None: now."""
        return None

    def is_full(self) -> bool:
        """Whether the batch has to be run before more can be put."""
        return self.filled == self.size

    def frames(self) -> Tensor:
        """Frames (n, C, H, W) that were put so far; no more than go through the backbone together."""
        return self._batch_BHWC[: self.filled].permute(0, 3, 1, 2)

    def run(self) -> None:
        """Run the backbone on the whole batch, whatever is filled of it, and begin the next one."""
        self._passes.append(_Pass(self._owners, *self._computed()))
        self._owners, self.filled = [], 0

    def trying(self, make: Callable[[], Encoder]) -> Encoder:
        """An encoder that is settled on the frames so far."""
        return make()

    def results(self, *, last: bool = False) -> Iterator[tuple[Owners, Float16]]:
        """Features that have come back, float16 (B, D), with their owners; with ``last``, all are waited for."""
        while self._passes:
            done = self._passes[0].done
            if not (last or len(self._passes) > IN_FLIGHT or done is None or done.query()):
                return
            back = self._passes.popleft()
            if back.done is not None:
                back.done.synchronize()
            yield back.owners, back.features_BD.numpy()

    def _take(self, pixels: Tensor, layout: PlaneLayout | None) -> None:
        assert layout is None, "planes are for a GPU"
        self._batch_BHWC[self.filled : self.filled + len(pixels)] = pixels

    def _computed(self) -> Back:
        return self.encoder.forward(self._batch_BHWC.permute(0, 3, 1, 2)).half(), None
