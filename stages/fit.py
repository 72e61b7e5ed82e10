"""Fit: train student, predictor and teacher on cached features by forecasting (arXiv 2606.14765).

The store is loaded once; a step is index arithmetic, one forward and backward pass of two small networks, an
optimiser step and the teacher's update. Checkpoints hold everything a step depends on, so a run that was
killed goes on as if it had not been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..cache.atomic import write_json
from ..cache.checkpoint import load_checkpoint, save_checkpoint
from ..cache.metrics_log import MetricsLog
from ..cache.store import FrameTable
from ..data.clips import holds_pair
from ..data.errors import StageError
from ..data.progress import Progress
from ..data.settings import FitSettings
from .device import pick_device
from .forecaster import Forecaster, make_forecaster
from .frame_memory import Epoch, FrameMemory
from .losses import contrastive_loss, forecast_loss

MODEL, RESUME, LOG = "model.safetensors", "resume.safetensors", "log.jsonl"
DESCRIPTION = "model.json"
FLUSH_STEPS = 100  # steps whose figures are fetched from the device and written together


@dataclass(frozen=True, slots=True)
class FitResult:
    """What was trained: steps in all, steps of this run, videos used and left out, the last figures."""

    steps: int
    steps_run: int
    videos: int
    too_short: int
    last: dict[str, float]


def run(settings: FitSettings, table: FrameTable, folder: Path, *, progress: Progress) -> FitResult:
    """Train on the videos of ``table`` and publish the model into ``folder``; resumes from its checkpoint.

    Raises:
        StageError: if there are too few videos, or the loss is no longer finite.
    """
    memory = FrameMemory.of(table, pick_device(settings.device))
    usable_V = torch.nonzero(holds_pair(memory.frames_V, settings.gap_min)).flatten()
    if len(usable_V) < 2:
        raise StageError(
            f"{len(usable_V)} of {len(memory.frames_V)} training videos can hold two clips with a gap of "
            f"fit.gap_min = {settings.gap_min} frames between; at least 2 are needed"
        )
    training = _Training(settings, memory, usable_V, folder, progress)
    begun = training.resume()
    progress.start("fit", settings.steps - begun, "steps")
    try:
        training.train()
    finally:
        training.log.close()
        progress.finish()
    result = FitResult(
        settings.steps,
        settings.steps - begun,
        len(usable_V),
        len(memory.frames_V) - len(usable_V),
        training.last,
    )
    _publish(training.forecaster, settings, table, folder, result)
    return result


class _Training:
    """The state of a run: networks, optimiser, step, and where its figures and checkpoints go."""

    def __init__(
        self, settings: FitSettings, memory: FrameMemory, usable_V: Tensor, folder: Path, progress: Progress
    ) -> None:
        self.settings, self.memory, self.usable_V = settings, memory, usable_V
        self.folder, self.progress = folder, progress
        device = memory.features_ND.device
        self.forecaster = make_forecaster(memory.features_ND.shape[1], settings).to(device)
        self.optimizer = torch.optim.Adam(
            self.forecaster.trained_parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        self.step = 0
        self.last: dict[str, float] = {}
        self.log = MetricsLog(folder / LOG)

    def resume(self) -> int:
        """Go on from the checkpoint if there is one; return the number of steps already done."""
        path = self.folder / RESUME
        if path.exists():
            tensors, meta = load_checkpoint(path)
            networks = {name[4:]: tensor for name, tensor in tensors.items() if name.startswith("net.")}
            self.forecaster.load_state_dict(networks)
            self.optimizer.load_state_dict(_unflatten(self.optimizer.state_dict(), tensors))
            self.step, self.last = meta["step"], meta["last"]
            self.progress.note(f"resuming at step {self.step} of {self.settings.steps}")
        self.log.keep_steps(self.step)
        return self.step

    def train(self) -> None:
        """Take the remaining steps."""
        figures: list[Tensor] = []
        saved = time.monotonic()
        for context_BLD, future_BLD in self._batches():
            self.progress.pulse()
            figures.append(self._step(context_BLD, future_BLD))
            if len(figures) == FLUSH_STEPS or self.step == self.settings.steps:
                self._report(figures)
                figures = []
                if self.step == self.settings.steps or time.monotonic() - saved >= self.settings.checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        size = min(self.settings.batch_size, len(self.usable_V))
        per_epoch = len(self.usable_V) // size
        epoch: Epoch | None = None
        for step in range(self.step, self.settings.steps):
            number, batch = divmod(step, per_epoch)
            if epoch is None or epoch.number != number:
                epoch = Epoch.draw(number, self.memory, self.usable_V, self.settings)
            yield epoch.batch(batch, size, self.memory, self.settings.clip_length)

    def _step(self, context_BLD: Tensor, future_BLD: Tensor) -> Tensor:
        """One optimiser step and teacher update; returns the step's figures, still on the device."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, settings)
        forecast_BE = self.forecaster.forecast(context_BLD)
        target_BE = self.forecaster.target(future_BLD)
        forecast = forecast_loss(
            forecast_BE, target_BE, normalize=settings.forecast_normalize, reduction=settings.forecast_reduction
        )
        contrast = contrastive_loss(forecast_BE, target_BE, settings.temperature)
        loss = forecast + settings.contrast_weight * contrast  # eq. (12)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.forecaster.update_teacher(settings.momentum)
        self.step += 1
        cosine = torch.nn.functional.cosine_similarity(forecast_BE.detach(), target_BE, dim=1).mean()
        return torch.stack(
            [loss.detach(), forecast.detach(), contrast.detach(), cosine, self.forecaster.teacher_drift()]
        )

    def _report(self, figures: list[Tensor]) -> None:
        """Write the figures of the latest steps, and stop if a loss is not finite."""
        first = self.step - len(figures)
        rows = []
        for number, values in enumerate(torch.stack(figures).tolist(), first):
            names = ("loss", "forecast", "contrast", "cosine", "teacher_drift")
            row = {
                "step": number + 1,
                **dict(zip(names, values, strict=True)),
                "lr": learning_rate(number, self.settings),
            }
            if not all(math.isfinite(value) for value in values):
                raise StageError(
                    f"the loss is not finite at step {number + 1} (forecast {row['forecast']}, contrast "
                    f"{row['contrast']}): lower fit.lr = {self.settings.lr:g} or raise fit.temperature = "
                    f"{self.settings.temperature:g}"
                )
            rows.append(row)
        self.log.write(rows)
        self.last = rows[-1]
        self.progress.advance(len(rows), loss=rows[-1]["loss"], cosine=rows[-1]["cosine"])

    def _save(self) -> None:
        self.log.sync()
        networks = {f"net.{name}": tensor for name, tensor in self.forecaster.state_dict().items()}
        meta = {"step": self.step, "steps": self.settings.steps, "last": self.last}
        save_checkpoint(self.folder / RESUME, {**networks, **_flatten(self.optimizer.state_dict())}, meta)


def learning_rate(step: int, settings: FitSettings) -> float:
    """Learning rate of the step after ``step`` were done: constant, or half a cosine from lr to zero."""
    if settings.lr_schedule == "constant":
        return settings.lr
    return settings.lr * 0.5 * (1.0 + math.cos(math.pi * step / settings.steps))


def forget_checkpoint(folder: Path) -> None:
    """Delete what a run would resume from: the run is recorded as finished, or is to begin anew."""
    (folder / RESUME).unlink(missing_ok=True)


def load_forecaster(folder: Path) -> tuple[Forecaster, FitSettings]:
    """The trained networks of a fit folder, on the CPU, in evaluation mode.

    Raises:
        StoreError: if the model file is damaged or missing.
    """
    tensors, meta = load_checkpoint(folder / MODEL)
    settings = FitSettings(**meta["settings"])
    forecaster = Forecaster(meta["width"], settings)
    forecaster.load_state_dict(tensors)
    return forecaster.eval(), settings


def _publish(forecaster: Forecaster, settings: FitSettings, table: FrameTable, folder: Path, result: FitResult) -> None:
    meta = {"settings": settings.identity(), "width": table.features_ND.shape[1]}
    save_checkpoint(folder / MODEL, forecaster.state_dict(), meta)
    described = {
        **meta,
        "method": "MoFore, arXiv 2606.14765",
        "parameters": sum(parameter.numel() for parameter in forecaster.parameters()),
        "training": {"videos": result.videos, "too_short": result.too_short, "frames": len(table.features_ND)},
        "last_step": result.last,
        "torch": torch.__version__,
    }
    write_json(folder / DESCRIPTION, described)


def _flatten(state: dict[str, Any]) -> dict[str, Tensor]:
    """An optimiser's per-parameter tensors by name."""
    return {
        f"adam.{index}.{name}": tensor for index, values in state["state"].items() for name, tensor in values.items()
    }


def _unflatten(template: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    return {"state": state, "param_groups": template["param_groups"]}
