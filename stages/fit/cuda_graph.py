"""A step as one CUDA graph: at batch 8 the launches of its sixty kernels would take longer than the kernels.

Only steps whose every launch is the same can be replayed: one process, a constant weight decay, no queue, whose
filled part grows, and clips without a history. Built for a GPU and not measured on one yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.fit_settings import FitSettings
from ...data.schedules import Pace
from ..frames.memory import Clips
from ..frames.sampler import Batch

WARM_UP = 3  # eager steps before the capture, as torch asks for


@dataclass(frozen=True, slots=True)
class Scalars:
    """What changes from step to step, as scalars on the device."""

    lr: Tensor
    toward: Tensor

    @classmethod
    def on(cls, device: torch.device) -> Scalars:
        """Scalars on a device, not set yet."""
        return cls(torch.zeros((), device=device), torch.zeros((), device=device))

    def set(self, lr: float, toward: float) -> None:
        """Learning rate, and 1 - m of eq. (6)."""
        self.lr.fill_(lr)
        self.toward.fill_(toward)


def can_be_graphed(settings: FitSettings, device: torch.device, processes: int) -> bool:
    """Whether every step of a run launches the same kernels."""
    steady = settings.weight_decay_schedule == "constant" and not settings.queue and not settings.sees_history
    return device.type == "cuda" and processes == 1 and steady


class GraphedStep:
    """Replays ``step(batch, lr, toward)`` after its first batches; the result is that of the eager step.

    Args:
        step: computes one step from a batch and two scalars on the device and returns its figures.
        device: a CUDA device.
        note: told if it cannot be captured.
    """

    def __init__(
        self,
        step: Callable[[Batch, Tensor, Tensor], Tensor],
        device: torch.device,
        note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.step, self.note, self.scalars, self.taken = step, note, Scalars.on(device), 0
        self.stream = torch.cuda.Stream(device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.batch: Batch | None = None
        self.figures = torch.empty(0)
        self.refused = ""  # what was said of a capture that failed: steps then are launched kernel by kernel

    def __call__(self, batch: Batch, pace: Pace) -> Tensor:
        """Take one step: eagerly at first, then as a replay of what was recorded."""
        self.scalars.set(pace.lr, pace.toward)
        self.taken += 1
        if self.taken <= WARM_UP or self.refused:
            return self._aside(batch)
        if self.graph is None and not self._captured(batch):
            return self._aside(batch)
        assert self.graph is not None
        assert self.batch is not None
        _copy(self.batch, batch)
        self.graph.replay()
        return self.figures.clone()

    def _aside(self, batch: Batch) -> Tensor:
        """An eager step on the stream of the capture."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            figures = self.step(batch, self.scalars.lr, self.scalars.toward)
        torch.cuda.current_stream().wait_stream(self.stream)
        return figures

    def _captured(self, batch: Batch) -> bool:
        """Record the launches; nothing is computed by that. False if that was refused."""
        self.batch, graph = _cloned(batch), torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                self.figures = self.step(self.batch, self.scalars.lr, self.scalars.toward)
        except RuntimeError as error:
            self.refused = f"steps are launched kernel by kernel, since a CUDA graph was refused: {error}".splitlines()[
                0
            ]
            self.note(self.refused)
            return False
        self.graph = graph
        return True


def _cloned(batch: Batch) -> Batch:
    group_R = None if batch.group_R is None else batch.group_R.clone()
    kept_BE = None if batch.kept_BE is None else batch.kept_BE.clone()
    return Batch(_cloned_clips(batch.context), _cloned_clips(batch.target), batch.gap_BH.clone(), group_R, kept_BE)


def _cloned_clips(clips: Clips) -> Clips:
    return Clips(clips.features.clone(), None if clips.times_s_BL is None else clips.times_s_BL.clone())


def _copy(to: Batch, batch: Batch) -> None:
    for ours, theirs in zip(_tensors(to), _tensors(batch), strict=True):
        ours.copy_(theirs)


def _tensors(batch: Batch) -> list[Tensor]:
    every = (batch.context.features, batch.context.times_s_BL, batch.target.features, batch.target.times_s_BL)
    return [tensor for tensor in (*every, batch.gap_BH, batch.group_R, batch.kept_BE) if tensor is not None]
