"""The loop of a training run, of cached features or of pixels: steps, what is written down of them, checkpoints.

A checkpoint holds everything that a step depends on, so that a run that was cut off goes on to the same bits. When
figures are written depends on the step alone, never on the clock, so that a resumed run writes what another does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from ...cache.checkpoint import load_latest, save_numbered
from ...cache.metrics_log import MetricsLog
from ...data.errors import StageError
from ...data.progress import Progress

LOG = "log.jsonl"
FIGURES = ("loss", "forecast", "contrast", "cosine")  # of a step: eq. (12), eq. (9), eq. (11), cosine to the target

BatchT = TypeVar("BatchT", contravariant=True)


class Trainee(Protocol[BatchT]):
    """What is trained by a :class:`Loop`."""

    step: int
    last: dict[str, float]
    figures: tuple[str, ...]

    def take_step(self, batch: BatchT) -> Tensor | None:
        """One step; its ``figures``, as one tensor on the device, or None if there was nothing to learn from."""

    def state(self) -> dict[str, Tensor]:
        """Every tensor that a step depends on or changes."""

    def meta(self) -> dict[str, Any]:
        """What else a step depends on, for a checkpoint."""

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any], progress: Progress) -> None:
        """Go on from a checkpoint; ``step`` and ``last`` are set already."""

    def columns(self, step: int) -> dict[str, float]:
        """Further columns of the log for the step after ``step`` were done."""

    def measured(self) -> dict[str, float]:
        """Further columns of the log for the latest step, which take time to measure."""

    def diverged(self, row: dict[str, float]) -> StageError:
        """What to say of a loss that is not finite, with a way out."""

    def begin(self, progress: Progress) -> None:
        """Called before the first step of the loop."""

    def pause(self, rows: list[dict[str, float]], progress: Progress) -> None:
        """Called after the figures of the latest steps were written; ``last`` is the last of them."""

    def pauses(self) -> bool:
        """Whether it wants figures to be written now, beside the loop's own times; a function of the step."""

    def sync(self) -> None:
        """Make sure that what it has written itself survives a power cut."""

    def close(self) -> None:
        """Called at the end, whatever happened once it had begun."""


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How a loop goes.

    Attributes:
        stage: its name.
        steps: in all.
        flush_steps: steps whose figures are fetched from the device and written together.
        checkpoint_seconds: between checkpoints.
        keep: checkpoints that are kept.
    """

    stage: str
    steps: int
    flush_steps: int
    checkpoint_seconds: float
    keep: int


class Loop(Generic[BatchT]):
    """Takes the steps that are left, writes figures and checkpoints, and stops where the loss is not finite."""

    def __init__(self, trainee: Trainee[BatchT], settings: LoopSettings, folder: Path) -> None:
        self.trainee, self.settings, self.folder = trainee, settings, folder

    def resume(self, progress: Progress) -> None:
        """Go on from the latest sound checkpoint, if there is one."""
        found = load_latest(self.folder)
        if found is None:
            return
        (tensors, meta), trainee = found, self.trainee
        for name, tensor in trainee.state().items():
            if name in tensors:
                tensor.copy_(tensors[name])
        trainee.step, trainee.last = meta["step"], meta["last"]
        trainee.restore(tensors, meta, progress)
        progress.note(f"resuming at step {trainee.step:,} of {self.settings.steps:,}")

    def run(self, batches: Iterable[BatchT], progress: Progress) -> None:
        """Take the steps of ``batches``, which are those that are left.

        Raises:
            StageError: if the loss is no longer finite.
        """
        with self.opened(progress):
            for batch in batches:
                progress.pulse()
                self.took(self.trainee.take_step(batch), progress, time.monotonic())

    @contextmanager
    def opened(self, progress: Progress) -> Iterator[None]:
        """The log and the progress view, while steps are taken."""
        trainee, self.log = self.trainee, MetricsLog(self.folder / LOG)
        self.figures, self.saved = list[tuple[int, Tensor]](), time.monotonic()
        self.log.keep_steps(trainee.step or -1)
        progress.start(self.settings.stage, self.settings.steps - trainee.step, "steps")
        try:
            trainee.begin(progress)
            try:
                yield
            finally:
                trainee.close()
        finally:
            self.log.close()
            progress.finish()

    def took(self, values: Tensor | None, progress: Progress, now: float) -> None:
        """Write what is due after a step: its figures (4,), and at the time ``now`` a checkpoint.

        Raises:
            StageError: if the loss is no longer finite.
        """
        if values is not None:
            self.figures.append((self.trainee.step, values))
        if not (self._due(self.settings.flush_steps) or self.trainee.pauses()):
            return
        if self.figures:
            self._write(self.figures, self.log, progress)
            self.figures = []
        if self._due(0) or now - self.saved >= self.settings.checkpoint_seconds:
            self.log.sync()
            self.trainee.sync()
            self._save()
            self.saved = now

    def _due(self, every: int) -> bool:
        step = self.trainee.step
        return step == self.settings.steps or bool(every and step % every == 0)

    def _write(self, figures: list[tuple[int, Tensor]], log: MetricsLog, progress: Progress) -> None:
        """Write the figures of the latest steps, and stop if one is not finite."""
        rows = []
        for (step, _), values in zip(figures, torch.stack([of for _, of in figures]).tolist(), strict=True):
            row = {
                "step": step,
                **dict(zip(self.trainee.figures, values, strict=True)),
                **self.trainee.columns(step - 1),
            }
            if not all(math.isfinite(value) for value in values):
                raise self.trainee.diverged(row)
            rows.append(row)
        rows[-1] |= self.trainee.measured()
        self.trainee.last = rows[-1]
        log.write(rows)
        self.trainee.pause(rows, progress)

    def _save(self) -> None:
        trainee = self.trainee
        meta = {"step": trainee.step, "steps": self.settings.steps, "last": trainee.last, **trainee.meta()}
        save_numbered(self.folder, trainee.step, trainee.state(), meta, keep=self.settings.keep)
