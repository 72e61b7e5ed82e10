"""Batches filled across videos, and the forward passes over them.

On the processor a pass is done when it returns, and on Apple's GPU (mps) when its features are fetched. What an NVIDIA
GPU does instead is :mod:`.gpu_batches`.
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
AUTO_BATCH = {"cpu": 32, "cuda": 256, "mps": 64}
LEAST_WINDOWS = {"cpu": 4, "cuda": 16, "mps": 8}  # of a clip backbone, in a batch of that many frames or of more

Owners = list[tuple[int, int]]  # (key of a video, how many of the batch's rows are its own), in order
Back = tuple[Tensor, "torch.cuda.Event | None"]  # features, and when they are there


@dataclass(frozen=True, slots=True)
class _Pass:
    owners: Owners
    features_BD: Tensor
    done: torch.cuda.Event | None


def rows_of_batch(encoder: Encoder, batch_size: int) -> int:
    """Rows of a forward pass: of ``batch_size`` frames (0 for what suits the device), at least one window."""
    device, frames = encoder.device.type, 1 if encoder.windows is None else encoder.windows.length
    if batch_size or frames == 1:
        return max(1, (batch_size or AUTO_BATCH[device]) // frames)
    return max(LEAST_WINDOWS[device], AUTO_BATCH[device] // frames)


def channels_first(batch_BHWC: Tensor) -> Tensor:
    """Frames (B, C, H, W), or windows (B, T, C, H, W), in the same memory."""
    return batch_BHWC.movedim(-1, -3)


class Batches:
    """One batch that is being filled, and those whose features have not come back.

    Attributes:
        encoder: what is run; it may be replaced between passes.
        size: rows of the batch.
        filled: rows of it that are taken.
    """

    def __init__(self, encoder: Encoder, batch_size: int) -> None:
        self.encoder, self.filled = encoder, 0
        self.size = rows_of_batch(encoder, batch_size)
        *windows, channels, height, width = encoder.input_shape
        shape = (self.size, *windows, height, width, channels)
        self._batch_BHWC = torch.zeros(shape, dtype=torch.uint8, device=encoder.device)
        self._owners: Owners = []
        self._passes: deque[_Pass] = deque()

    def prepare(self, pixels: Tensor, layout: PlaneLayout | None) -> Tensor:
        """Frames (n, C, H, W) on the device, of what a worker made, to cut windows of."""
        assert layout is None, "planes are for a GPU"
        return pixels.permute(0, 3, 1, 2)

    def put(self, key: int, pixels: Tensor, layout: PlaneLayout | None) -> int:
        """Take as many rows as there is room for, and say how many.

        Args:
            key: of the video.
            pixels: what a worker made, planes or frames (n, H, W, C); or windows of frames (n, T, H, W, C).
            layout: of planes.
        """
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
        """Frames (n, C, H, W), or windows of them, that were put so far; no more than are computed together."""
        return channels_first(self._batch_BHWC[: self.filled])

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
        return self.encoder.forward(channels_first(self._batch_BHWC)).half().cpu(), None
