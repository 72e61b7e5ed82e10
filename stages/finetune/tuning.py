"""The steps of training end to end, from pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...data.errors import StageError
from ...data.fit_settings import FitSettings
from ...data.progress import Progress
from ...data.schedules import finetune_pace
from ...data.settings import FinetuneSettings
from ..machine.device import release_memory
from ..model.loop import FIGURES, Loop, LoopSettings
from ..model.mofore_loss import MoforeLoss
from ..model.negatives_queue import NegativesQueue
from .end_to_end import EndToEnd
from .pixel_batches import PixelBatch, PixelSource

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

    figures: tuple[str, ...] = FIGURES

    def __init__(
        self, settings: FinetuneSettings, fit: FitSettings, source: PixelSource, networks: EndToEnd, folder: Path
    ) -> None:
        self.settings, self.fit, self.source, self.networks = settings, fit, source, networks
        self.objective = MoforeLoss.of(fit)
        self.queue = NegativesQueue(fit.queue, networks.forecaster.width, networks.device)
        kind = torch.optim.AdamW if fit.optimizer == "adamw" else torch.optim.Adam
        groups = [{"params": parameters, "share": share} for parameters, share in networks.groups]
        self.optimizer = kind(groups, lr=settings.lr, weight_decay=fit.weight_decay, fused=True)
        self.step, self.frames, self.passed_over = 0, 0, 0
        self.first, self.last = dict[str, float](), dict[str, float]()
        self.agreement: float | None = None
        self.note: Callable[[str], None] = lambda _text: None
        self.loop = Loop(
            self, LoopSettings("finetune", settings.steps, 1, settings.checkpoint_seconds, KEPT_CHECKPOINTS), folder
        )

    @property
    def videos(self) -> int:
        """Number of videos that pairs are drawn from."""
        return len(self.source.sampler.usable_V)

    def train(self, progress: Progress) -> int:
        """Take the remaining steps; returns how many these were.

        Raises:
            StageError: if the loss is no longer finite, or the stored features are not those of these pixels.
            TooManyFailures: if too many videos cannot be read.
        """
        self.loop.resume(progress)
        begun, self.note = self.step, progress.note
        self.loop.run(self.source.batches(begun, self.settings.steps), progress)
        return self.settings.steps - begun

    def take_step(self, batch: PixelBatch) -> Tensor | None:
        """One optimiser step and teacher update, if enough videos of the batch could be read."""
        if batch.parts and self.agreement is None:
            self._check_agreement(batch)
        figures = self._learnt_in_parts(batch) if batch.parts else None
        self.passed_over += figures is None
        self.step += 1
        self.frames += sum(len(part.context.frames_FCHW) for part in batch.parts)
        return figures

    def _learnt_in_parts(self, batch: PixelBatch) -> Tensor:
        """A step, in twice as many parts wherever the GPU's memory is too small: the same but for rounding."""
        while True:
            try:
                return self._learnt(batch)
            except torch.OutOfMemoryError as error:
                error.__traceback__ = None  # its frames hold what is in the way
                self.optimizer.zero_grad()
                release_memory()
                if max(len(part.gap_BH) for part in batch.parts) == 1:
                    raise StageError(
                        "the GPU has not enough memory for one clip: take fewer finetune.blocks or finetune.frames, a "
                        "smaller extract.image_size, or finetune.recompute = true"
                    ) from error
                batch, self.source.parts = batch.halved(), 2 * self.source.parts
                self.note(
                    f"the GPU's memory was too small: a batch goes through in {self.source.parts} parts from here on "
                    f"(finetune.accumulation = {self.source.parts} begins so)"
                )

    def _learnt(self, batch: PixelBatch) -> Tensor:
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
        pace = finetune_pace(self.step, self.settings, self.fit)
        for group in self.optimizer.param_groups:
            group["lr"] = pace.lr * group["share"]
            group["weight_decay"] = pace.weight_decay
        self.optimizer.step()
        self.networks.move_teacher(pace.toward)
        self.queue.push(target_unit_RE)

    def _check_agreement(self, batch: PixelBatch) -> None:
        """Hold the first features against the stored ones: they are to be where the fit left off."""
        lowest = 1.0
        for part in batch.parts:
            made_FD = self.networks.features(part.context)
            rows_F = part.context.rows_BL.unique().cpu()  # the store is on the processor, wherever its pixels are
            stored_FD = self.source.sampler.memory.frames.take(rows_F).to(made_FD)
            lowest = min(lowest, float(torch.nn.functional.cosine_similarity(made_FD, stored_FD).min()))
        self.agreement = lowest
        if not lowest >= LEAST_AGREEMENT:
            raise StageError(
                f"the backbone gives other features of these pixels than those stored (lowest cosine {lowest:.3f}): "
                "were they extracted with another FFmpeg, or imported? `mofore extract --force` makes them anew"
            )

    def columns(self, step: int) -> dict[str, float]:
        """The learning rate of the last block."""
        return {"lr": finetune_pace(step, self.settings, self.fit).lr}

    def diverged(self, row: dict[str, float]) -> StageError:
        """What would keep the loss finite."""
        return StageError(
            f"the loss is not finite at step {row['step']} (eq. 9: {row['forecast']}, eq. 11: {row['contrast']}): "
            f"lower finetune.lr = {self.settings.lr:g}, or set finetune.precision to fp32"
        )

    def measured(self) -> dict[str, float]:
        """Nothing is measured beside the figures of a step."""
        return {}

    def begin(self, progress: Progress) -> None:
        """Nothing has to be opened."""

    def pauses(self) -> bool:
        """Every step is written anyway."""
        return False

    def pause(self, rows: list[dict[str, float]], progress: Progress) -> None:
        """Show the figures of the latest steps."""
        self.first, row = self.first or self.last, rows[-1]
        progress.advance(len(rows), loss=row["loss"], cosine=row["cosine"], failed=len(self.source.failed))

    def sync(self) -> None:
        """It writes nothing of its own."""

    def close(self) -> None:
        """There is nothing to close."""

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any], progress: Progress) -> None:  # noqa: ARG002
        """The optimiser, and what a checkpoint holds beside tensors."""
        self._load_adam(tensors)
        self.first = meta["first"]
        self.agreement, self.passed_over, self.queue.pushed = meta["agreement"], meta["passed_over"], meta["pushed"]
        self.source.failed.update(meta["failed"])

    def meta(self) -> dict[str, Any]:
        """Figures of the first step, what the features agree to, and what could not be read."""
        return {
            "first": self.first,
            "agreement": self.agreement,
            "passed_over": self.passed_over,
            "pushed": self.queue.pushed,
            "failed": self.source.failed,
        }

    def state(self) -> dict[str, Tensor]:
        """Every tensor that a step depends on or changes."""
        return {**self.networks.state(), "queue": self.queue.rows_QE, **self._adam()}

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
