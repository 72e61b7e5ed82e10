"""The loop of training end to end: steps, what is written down of them, checkpoints from which it goes on exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...cache.checkpoint import load_latest, save_numbered
from ...cache.metrics_log import MetricsLog
from ...data.errors import StageError
from ...data.progress import Progress
from ...data.schedules import finetune_rate
from ...data.settings import FinetuneSettings, FitSettings
from ..model.negatives_queue import NegativesQueue
from ..model.objective import Objective
from .end_to_end import EndToEnd
from .pixel_batches import PixelBatch, PixelSource

LOG = "log.jsonl"
KEPT_CHECKPOINTS = 2
LEAST_AGREEMENT = 0.9  # cosine of features made here to those stored; two ways of rounding to bf16 leave 0.98


class Tuning:
    """The state of a run, and the files that it is written to.

    Attributes:
        step: steps done.
        first: figures of the first step.
        last: figures of the last step.
        agreement: lowest cosine of the first batch's features to the stored ones, before any step.
        passed_over: steps for which fewer than two videos could be read.
        frames: that went through the student's backbone in this process.
    """

    def __init__(
        self, settings: FinetuneSettings, fit: FitSettings, source: PixelSource, networks: EndToEnd, folder: Path
    ) -> None:
        self.settings, self.source, self.networks, self.folder = settings, source, networks, folder
        self.objective = Objective.of(fit)
        self.queue = NegativesQueue(fit.queue, networks.forecaster.width, networks.device)
        kind = torch.optim.AdamW if fit.optimizer == "adamw" else torch.optim.Adam
        groups = [{"params": parameters, "share": share} for parameters, share in networks.groups]
        self.optimizer = kind(groups, lr=settings.lr, weight_decay=fit.weight_decay, fused=True)
        self.step, self.frames, self.passed_over = 0, 0, 0
        self.first, self.last = dict[str, float](), dict[str, float]()
        self.agreement: float | None = None

    def train(self, progress: Progress) -> int:
        """Take the remaining steps; returns how many these were.

        Raises:
            StageError: if the loss is no longer finite, or the stored features are not those of these pixels.
            TooManyFailures: if too many videos cannot be read.
        """
        begun = self._resume(progress)
        log = MetricsLog(self.folder / LOG)
        log.keep_steps(self.step)
        progress.start("finetune", self.settings.steps - begun, "steps")
        try:
            self._steps(self.source.batches(self.step, self.settings.steps), log, progress)
        finally:
            log.close()
            progress.finish()
        return self.settings.steps - begun

    def take_step(self, batch: PixelBatch) -> Tensor:
        """One optimiser step and teacher update; returns the figures (4,): loss, eq. (9), eq. (11), cosine."""
        target_RE = torch.cat([self.networks.target(part) for part in batch.parts])
        whole = len(batch.parts) == 1
        with torch.set_grad_enabled(whole):
            forecasts = [self.networks.forecast(part) for part in batch.parts]
        with torch.no_grad():
            gradient_RE, figures, target_unit_RE = self.objective(
                torch.cat(forecasts).detach(), target_RE, batch.group_R, self.queue.filled()
            )
        self.optimizer.zero_grad()
        for part, forecast_RE, part_RE in zip(
            batch.parts, forecasts, gradient_RE.split([len(each) for each in forecasts]), strict=True
        ):
            again_RE = forecast_RE if whole else self.networks.forecast(part)
            again_RE.backward(part_RE)
        self._update(target_unit_RE)
        return figures

    def _update(self, target_unit_RE: Tensor) -> None:
        rate = finetune_rate(self.step, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.step()
        self.networks.move_teacher(1.0 - self.settings.momentum)
        self.queue.push(target_unit_RE)

    def _steps(self, batches: Iterable[PixelBatch], log: MetricsLog, progress: Progress) -> None:
        saved = time.monotonic()
        for batch in batches:
            progress.pulse()
            if not batch.parts:
                self.passed_over += 1
                self.step += 1
                continue
            if self.agreement is None:
                self._check_agreement(batch)
            self._report(self.take_step(batch), log, progress)
            self.frames += sum(len(part.context.frames_FCHW) for part in batch.parts)
            if self.step < self.settings.steps and time.monotonic() - saved < self.settings.checkpoint_seconds:
                continue
            log.sync()
            self._save()
            saved = time.monotonic()

    def _check_agreement(self, batch: PixelBatch) -> None:
        """Hold the first features against the stored ones: they are to be where the fit left off."""
        lowest = 1.0
        for part in batch.parts:
            made_FD = self.networks.features(part.context)
            stored_FD = self.source.sampler.memory.frames.take(part.context.rows_BL.unique()).to(made_FD)
            lowest = min(lowest, float(torch.nn.functional.cosine_similarity(made_FD, stored_FD).min()))
        self.agreement = lowest
        if not lowest >= LEAST_AGREEMENT:
            raise StageError(
                f"the backbone gives other features of these pixels than those stored (lowest cosine {lowest:.3f}): "
                "were they extracted with another FFmpeg, or imported? `mofore extract --force` makes them anew"
            )

    def _report(self, figures: Tensor, log: MetricsLog, progress: Progress) -> None:
        """Write the figures of the step, and stop if one is not finite."""
        named = dict(zip(("loss", "forecast", "contrast", "cosine"), figures.tolist(), strict=True))
        self.step += 1
        if not all(math.isfinite(value) for value in named.values()):
            raise StageError(
                f"the loss is not finite at step {self.step} (eq. 9: {named['forecast']}, eq. 11: "
                f"{named['contrast']}): lower finetune.lr = {self.settings.lr:g}, or set finetune.precision to fp32"
            )
        self.last = {"step": self.step, **named, "lr": finetune_rate(self.step - 1, self.settings)}
        self.first = self.first or self.last
        log.write([self.last])
        progress.advance(1, loss=named["loss"], cosine=named["cosine"], failed=len(self.source.failed))

    def _resume(self, progress: Progress) -> int:
        """Go on from the latest sound checkpoint if there is one; return the number of steps already done."""
        found = load_latest(self.folder)
        if found is None:
            return 0
        tensors, meta = found
        for name, tensor in (*self.networks.state().items(), ("queue", self.queue.rows_QE)):
            tensor.copy_(tensors[name])
        self._load_adam(tensors)
        self.step, self.first, self.last = meta["step"], meta["first"], meta["last"]
        self.agreement, self.passed_over, self.queue.pushed = meta["agreement"], meta["passed_over"], meta["pushed"]
        self.source.failed.update(meta["failed"])
        progress.note(f"resuming at step {self.step:,} of {self.settings.steps:,}")
        return self.step

    def _save(self) -> None:
        meta: dict[str, Any] = {
            "step": self.step,
            "steps": self.settings.steps,
            "first": self.first,
            "last": self.last,
            "agreement": self.agreement,
            "passed_over": self.passed_over,
            "pushed": self.queue.pushed,
            "failed": self.source.failed,
        }
        tensors = {**self.networks.state(), "queue": self.queue.rows_QE, **self._adam()}
        save_numbered(self.folder, self.step, tensors, meta, keep=KEPT_CHECKPOINTS)

    def _adam(self) -> dict[str, Tensor]:
        state: dict[int, dict[str, Tensor]] = self.optimizer.state_dict()["state"]
        return {f"adam.{number}.{name}": tensor for number, one in state.items() for name, tensor in one.items()}

    def _load_adam(self, tensors: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            kind, _, rest = key.partition(".")
            if kind == "adam":
                number, _, name = rest.partition(".")
                state.setdefault(int(number), {})[name] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
