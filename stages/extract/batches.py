"""Batches filled across videos, and the forward passes over them.

On the processor a pass is done when it returns. On a GPU everything is only launched: pieces are copied on a
stream of their own from pinned memory while the backbone works on the batch before, planes become frames in the
batch's memory there, and features come back some batches later.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.arrays import Float16
from ...data.planes import PlaneLayout
from ..backbone.encoder import Encoder
from ..decode.device_preprocess import preprocess_planes

IN_FLIGHT = 4  # batches whose features may be on their way back
AUTO_BATCH = {"cpu": 32, "cuda": 256}
LEAST_WINDOWS = {"cpu": 4, "cuda": 16}  # of a clip backbone, in a batch of that many frames or of more

Owners = list[tuple[int, int]]  # (key of a video, how many of the batch's rows are its own), in order


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


class Batches:
    """One batch that is being filled, and those whose features have not come back.

    Attributes:
        encoder: what is run; it may be replaced between passes.
        filled: rows of the batch that are taken.
    """

    def __init__(self, encoder: Encoder, batch_size: int) -> None:
        self.encoder, self.filled = encoder, 0
        *windows, channels, height, width = encoder.input_shape
        rows = (rows_of_batch(encoder, batch_size), *windows)
        zeros = torch.zeros(math.prod(rows), channels, height, width, dtype=torch.uint8, device=encoder.device)
        laid = zeros.contiguous(memory_format=torch.channels_last)
        self._batch_BCHW = laid.view(*rows, channels, height, width)
        self._owners: Owners = []
        self._passes: deque[_Pass] = deque()
        self._copies = torch.cuda.Stream(encoder.device) if encoder.device.type == "cuda" else None

    def prepare(self, pixels: Tensor, layout: PlaneLayout | None) -> Tensor:
        """Frames (n, C, H, W) on the device, of what a worker made; ``pixels`` may be overwritten afterwards."""
        pixels = self._moved(pixels)
        if layout is None:
            return pixels.permute(0, 3, 1, 2)
        return preprocess_planes(pixels, layout, self.encoder.preprocess)

    def put(self, key: int, frames_BCHW: Tensor) -> int:
        """Take as many frames as there is room for, and say how many."""
        room = min(len(frames_BCHW), len(self._batch_BCHW) - self.filled)
        self._batch_BCHW[self.filled : self.filled + room] = frames_BCHW[:room]
        self._owners.append((key, room))
        self.filled += room
        return room

    def is_full(self) -> bool:
        """Whether the batch has to be run before more can be put."""
        return self.filled == len(self._batch_BCHW)

    def frames(self) -> Tensor:
        """The frames that were put so far."""
        return self._batch_BCHW[: self.filled]

    def run(self) -> None:
        """Run the backbone on the whole batch, whatever is filled of it, and begin the next one."""
        features_BD = self.encoder.forward(self._batch_BCHW).half()
        self._passes.append(_Pass(self._owners, *self._sent_back(features_BD)))
        self._owners, self.filled = [], 0

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

    def _moved(self, pixels: Tensor) -> Tensor:
        if self._copies is None:
            return pixels
        with torch.cuda.stream(self._copies):
            moved = pixels.to(self.encoder.device, non_blocking=True)
        self._copies.synchronize()  # of this copy alone, not of the backbone
        moved.record_stream(torch.cuda.current_stream(self.encoder.device))
        return moved

    def _sent_back(self, features_BD: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        if self._copies is None:
            return features_BD, None
        there_BD = torch.empty(features_BD.shape, dtype=features_BD.dtype, pin_memory=True)
        there_BD.copy_(features_BD, non_blocking=True)
        done = torch.cuda.Event()
        done.record(torch.cuda.current_stream(self.encoder.device))
        return there_BD, done
