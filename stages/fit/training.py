"""The steps of a fit, and looks at what they make of the networks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...cache.checkpoint import load_checkpoint, save_checkpoint
from ...cache.metrics_log import MetricsLog
from ...data.errors import StageError
from ...data.fit_settings import FitSettings
from ...data.progress import Progress
from ...data.schedules import fit_pace
from ..distributed.process_group import ProcessGroup
from ..frames.sampler import Sampler
from ..machine.allocator import keep_freed_memory
from ..machine.device import has_bfloat16
from ..machine.shared_cores import ThreadsByPace
from ..model.forecaster import Forecaster
from ..model.loop import Loop, LoopSettings
from ..objectives.catalog import make_objective
from ..objectives.sampler import ClipSampler
from .cuda_graph import GraphedStep, can_be_graphed
from .flat_parameters import FlatParameters
from .networks import Learner, make_networks
from .objective_learner import ObjectiveLearner
from .tensorboard import make_curves
from .tracker import make_tracker
from .validation import Validation, Validator

VALIDATIONS, BEST = "validation.jsonl", "best.safetensors"
FLUSH_STEPS = 100  # steps whose figures are fetched from the device and written together


class Training:
    """The state of a run, and the files that it is written to.

    Attributes:
        step: optimiser steps done.
        last: the last step's figures.
        validated: the latest validation, if there was one.
        best: step and worth of the best look.
    """

    def __init__(
        self,
        settings: FitSettings,
        sampler: Sampler,
        forecaster: Forecaster,
        validator: Validator,
        folder: Path,
        process_group: ProcessGroup,
    ) -> None:
        self.settings, self.sampler, self.forecaster = settings, sampler, forecaster
        self.validator, self.folder, self.process_group = validator, folder, process_group
        self.learner = make_learner(forecaster, settings, process_group)
        self.flat, self.figures = self.learner.flat, self.learner.figures
        self.graphed: GraphedStep | None = None
        written_out = isinstance(self.learner, Learner)
        if written_out and can_be_graphed(settings, self.flat.trained.device, process_group.size):
            self.graphed = GraphedStep(self._computed, sampler.memory.device, self._note)
        self.threads: ThreadsByPace | None = None
        self.step, self.last = 0, dict[str, float]()
        self.validated: Validation | None = None
        self.best: dict[str, float] | None = None
        self.validate_every = math.ceil(settings.steps / settings.validations) if settings.validations else 0
        paced = LoopSettings("fit", settings.steps, FLUSH_STEPS, settings.checkpoint_seconds, settings.keep_checkpoints)
        self.loop = Loop(self, paced, folder)

    def train(self, progress: Progress) -> int:
        """Take the steps that are left; returns how many these were.

        Raises:
            StageError: if the loss is no longer finite, or the embeddings collapse and ``fit.alarm = "stop"``.
        """
        keep_freed_memory()
        begun = self.step
        with torch.no_grad(), matrix_products(self.settings.precision, self.flat.trained.device):
            if self.process_group.writes:
                with self._follows_pace() as batches:
                    self.loop.run(batches, progress)
            else:
                for batch in self._batches():
                    self.take_step(batch)
        return self.settings.steps - begun

    @contextmanager
    def _follows_pace(self) -> Iterator[Iterator[Any]]:
        """The batches that are left, whose steps are taken with as many threads as is fastest at the time."""
        batches = self._batches()
        first = next(batches, None)
        if first is not None:
            batches = chain([first], batches)
            self.follow_pace(first)
        try:
            yield batches
        finally:
            if self.threads:
                self.threads.close()

    def follow_pace(self, batch: Any) -> None:
        """From now on let the number of threads follow their pace, if that changes no bit of a step.

        Products are mostly cut by rows and columns among threads, and not within a sum; but no library promises it. So
        a step is taken with all threads and with one, held against each other, and taken back.
        """
        alone = self.process_group.size == 1 and self.flat.trained.device.type == "cpu"
        if alone and torch.get_num_threads() > 1 and self._alike(batch):
            self.threads = ThreadsByPace()

    def _alike(self, batch: Any) -> bool:
        threads, meta, found = torch.get_num_threads(), self.learner.meta(), list[list[Tensor]]()
        state = self.state()
        before = {name: tensor.clone() for name, tensor in state.items()}
        try:
            for number in (1, threads):
                torch.set_num_threads(number)
                figures = self.take_step(batch)
                found.append([figures, *(tensor.clone() for tensor in state.values())])
                for name, tensor in state.items():
                    tensor.copy_(before[name])
                self.learner.restore(meta)
                self.step -= 1
        finally:
            torch.set_num_threads(threads)
        return all(torch.equal(*pair) for pair in zip(*found, strict=True))

    def take_step(self, batch: Any) -> Tensor:
        """One optimiser step and teacher update; returns the figures (4,) of the step, on the device."""
        pace = fit_pace(self.step, self.settings)
        figures = self.graphed(batch, pace) if self.graphed else self._computed(batch, pace.lr, pace.toward)
        self.step += 1
        if self.threads:
            self.threads.took()
        return figures

    def _computed(self, batch: Any, lr: float | Tensor, toward: float | Tensor) -> Tensor:
        """The arithmetic of a step; its scalars are tensors where it becomes part of a graph."""
        return self.learner.step(batch, lr, fit_pace(self.step, self.settings).weight_decay, toward)

    def _note(self, message: str) -> None:
        self.record.progress.note(message)

    def use_best(self) -> None:
        """Take the networks of the best look in place of the last ones."""
        if self.best is not None and self.best["step"] != self.step:
            tensors, _ = load_checkpoint(self.folder / BEST)
            self.flat.trained.copy_(tensors["trained"])
            self.flat.teacher.copy_(tensors["teacher"])

    def move(self, trained: Tensor, gradient: Tensor, teacher: Tensor) -> None:
        """Take memory that holds the same parameters, in which several runs lie side by side."""
        assert isinstance(self.learner, Learner)
        self.flat.move(trained, gradient, teacher)
        self.learner.networks = make_networks(self.forecaster, self.flat, self.settings)

    def _batches(self) -> Iterator[Any]:
        """This process's contexts of the batches that are left."""
        if isinstance(self.learner, ObjectiveLearner):
            sampler = ClipSampler(self.sampler, self.learner.objective)
            return sampler.batches(self.step, self.settings.steps)
        share = self.process_group.share(self.sampler.contexts_per_batch)
        return self.sampler.batches(self.step, self.settings.steps, share=share)

    def begin(self, progress: Progress) -> None:
        """Open the further files of the run, and look at the untrained networks."""
        self.record = _Record(self.settings, self.folder, self.step, progress)
        if self.step == 0 and self.validate_every:
            self._validate()

    def pauses(self) -> bool:
        """Whether a validation is due after this step."""
        return bool(self.validate_every and self.step % self.validate_every == 0)

    def columns(self, step: int) -> dict[str, float]:
        """The learning rate of the step, beside its figures."""
        return {"lr": fit_pace(step, self.settings).lr}

    def measured(self) -> dict[str, float]:
        """How far the teacher is from the student."""
        with self._all_threads():
            return {"teacher_drift": float(self.flat.teacher_drift())}

    def _all_threads(self) -> AbstractContextManager[None]:
        return self.threads.whole() if self.threads else nullcontext()

    def pause(self, rows: list[dict[str, float]], progress: Progress) -> None:  # noqa: ARG002 - it is the record's
        """Show the figures, and look if it is time."""
        self.record.steps(rows, self.validated)
        if self.validate_every and (self.pauses() or self.step == self.settings.steps):
            self._validate()

    def sync(self) -> None:
        """The looks, too, survive a power cut."""
        self.record.sync()

    def close(self) -> None:
        """Close the further files."""
        self.record.close()

    def _validate(self) -> None:
        with self._all_threads():
            drift = float(self.flat.teacher_drift())
            self.validated = look = self.validator.validate(self.forecaster, self.step, drift)
        self.record.validation(look)
        worth = look.worth
        if self.step and worth is not None and (self.best is None or worth > self.best["worth"]):
            self.best = {"step": self.step, "worth": worth}
            if self.settings.keep == "best":
                tensors = {"trained": self.flat.trained, "teacher": self.flat.teacher}
                save_checkpoint(self.folder / BEST, tensors, self.best)
        if look.alarms and self.settings.alarm != "off":
            self._sound(look)

    def _sound(self, look: Validation) -> None:
        message = (
            f"the embeddings are collapsing at step {look.step} ({'; '.join(look.alarms)}): raise "
            f"fit.contrast_weight = {self.settings.contrast_weight:g} or fit.momentum = {self.settings.momentum:g}, "
            f"lower fit.lr = {self.settings.lr:g}, or use a predictor"
        )
        if self.settings.alarm == "stop":
            raise StageError(f'{message}; fit.alarm = "warn" goes on')
        self.record.progress.note(message)

    def diverged(self, row: dict[str, float]) -> StageError:
        """What made the loss infinite, or what would keep it finite."""
        place = self.sampler.memory.unsound_frame()
        if place is not None:
            video, frame = place
            return StageError(
                f"the loss is not finite at step {row['step']:g}, since a feature of '{self.validator.name_of(video)}' "
                f"is not, in frame {frame}: extract or import that video anew (mofore verify names damage)"
            )
        written_out = isinstance(self.learner, Learner)
        other = f" or raise fit.temperature = {self.settings.temperature:g}" if written_out else ""
        parts = ", ".join(f"{name} {row[name]:g}" for name in self.figures)
        return StageError(
            f"the loss is not finite at step {row['step']:g} ({parts}): lower fit.lr = {self.settings.lr:g}{other}"
        )

    def resume(self, progress: Progress) -> None:
        """Go on from the latest sound checkpoint if there is one.

        The first process reads it, and the others take what they need from there: they cannot find another one.
        """
        if self.process_group.writes:
            self.loop.resume(progress)
        self.step, left = self.process_group.first(lambda: (self.step, self.learner.meta()))
        self.learner.restore(left)
        for tensor in self.state().values():
            self.process_group.copy_first(tensor)

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any], progress: Progress) -> None:  # noqa: ARG002
        """What a checkpoint holds beside tensors."""
        self.best, self.validator.first = meta["best"], meta["first_look"]
        self.learner.restore(meta)
        if meta.get("code", "torch") != "torch":  # earlier versions had steps in compiled C
            progress.note("begun in compiled code, goes on in torch: the same but for the last digits")

    def meta(self) -> dict[str, Any]:
        """The best look, the first look, which later ones are held against, and what the learner needs.

        Raises:
            ProcessLost: if a process that shares the job has ended: then nothing of it may be kept any more.
        """
        self.flat.trained[:1].cpu()  # all that this follows from has come
        self.process_group.refuse_lost()
        return {"best": self.best, "first_look": self.validator.first, **self.learner.meta()}

    def state(self) -> dict[str, Tensor]:
        """Every tensor that a step depends on or changes."""
        return {
            "trained": self.flat.trained,
            "teacher": self.flat.teacher,
            "adam.first": self.learner.adam.first,
            "adam.second": self.learner.adam.second,
            "adam.steps": self.learner.adam.steps,
            **self.learner.state(),
            **{name: buffer for name, buffer in self.forecaster.named_buffers() if "input_map" in name},
        }


def make_learner(
    forecaster: Forecaster, settings: FitSettings, process_group: ProcessGroup
) -> Learner | ObjectiveLearner:
    """What takes the steps of a run: with the gradient of eq. (12) written out, or of another objective by autograd."""
    objective = make_objective(settings)
    if objective.written_out:
        return Learner(forecaster, FlatParameters(forecaster), settings, process_group)
    return ObjectiveLearner(forecaster, objective, settings)


class _Record:
    """Where the figures of a run go beside its log: looks, curves, and the user."""

    def __init__(self, settings: FitSettings, folder: Path, step: int, progress: Progress) -> None:
        self.sinks = [make_curves(settings.tensorboard, folder, progress), make_tracker(settings, folder, progress)]
        self.looks, self.progress = MetricsLog(folder / VALIDATIONS), progress
        self.looks.keep_steps(step or -1)  # a run that begins anew looks at step 0 again

    def steps(self, rows: list[dict[str, float]], look: Validation | None) -> None:
        """Show the latest figures, and write them to the curves."""
        self._hand_on("step", rows[-1])
        shown: dict[str, float] = {name: rows[-1][name] for name in ("loss", "cosine", "pretext") if name in rows[-1]}
        if look is not None:
            shown["rank"] = look.figures["health"]["effective_rank"]
            skill = look.figures["forecast"]["all"].get("skill")
            shown |= {} if skill is None else {"skill": skill}
        self.progress.advance(len(rows), **shown)

    def validation(self, look: Validation) -> None:
        """Figures of a look."""
        self.looks.write([look.row()])
        whole = {name: value for name, value in look.figures["forecast"]["all"].items() if isinstance(value, float)}
        self._hand_on("validation", {"step": look.step, **whole, **look.figures["health"]})

    def _hand_on(self, group: str, row: dict[str, float]) -> None:
        for sink in self.sinks:
            sink.add(group, row)

    def sync(self) -> None:
        """Make sure that the figures up to here survive a power cut."""
        self.looks.sync()

    def close(self) -> None:
        """No further figures come."""
        self.looks.close()
        for sink in self.sinks:
            sink.close()


@contextmanager
def matrix_products(precision: str, device: torch.device) -> Iterator[None]:
    """Let torch take products whose factors may be rounded to bfloat16, where ``precision`` says so.

    Weights, sums, the loss and the optimiser stay float32. On a GPU and on processors with AMX factors are rounded, by
    2^-8 of their size at most; on others that have bfloat16 this only chooses oneDNN's float32 products, which are as
    exact as the usual ones and twice as fast.
    """
    before = torch.get_float32_matmul_precision()
    rounded = precision == "bf16" or (precision == "auto" and has_bfloat16(device))
    torch.set_float32_matmul_precision("medium" if rounded else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
