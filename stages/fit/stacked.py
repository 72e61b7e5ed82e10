"""Several runs trained as one program over stacked weights, (S, out, in) for S runs.

Runs whose networks have the same shapes take their steps together: the products of a layer are one batched product,
and the objective is taken of all runs at once. What a run draws, its learning rate, optimiser, teacher, log, looks and
checkpoints stay its own, so that its files are those of the run alone, and either can go on where the other was cut
off. Figures differ by the order of float32 sums only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import fields

import torch
from torch import Tensor, nn

from ...data.errors import StageError
from ...data.fit_settings import FitSettings
from ...data.progress import Progress, Silent
from ...data.schedules import fit_pace
from ..frames.sampler import Batch
from ..machine.allocator import keep_freed_memory
from ..model.forecaster import Predictor
from ..model.mofore_loss import LEAST_NORM
from .flat_parameters import flat_views
from .networks import Pass, is_dense, passes
from .training import Training, matrix_products

MOST = 16  # runs of a stack: their activations stay in a processor's last cache
OWN = frozenset(
    {
        *("seed", "clip_length", "clip_stride", "unit", "gap_min", "gap_max", "gap_distribution", "target"),
        *(
            "neighbours",
            "neighbour_share",
            "negatives",
            "input_dropout",
            "holdout",
            "validations",
            "keep",
            "alarm",
            "tensorboard",
            "tracker",
        ),
        *("contrast_weight", "temperature", "optimizer", "lr", "lr_schedule", "warmup_steps"),
        *("weight_decay", "weight_decay_schedule", "weight_decay_end", "momentum", "momentum_schedule"),
        *("checkpoint_seconds", "keep_checkpoints", "memory_gb", "preset"),
    }
)
"""Settings in which runs that train together may differ; they decide neither shapes nor what is computed of them."""


def stack_key(training: Training) -> tuple[object, ...] | None:
    """Equal for runs that can train together from where they are; None for one that has to train alone."""
    settings, device = training.settings, training.flat.trained.device
    if not can_be_stacked(settings) or training.process_group.size > 1:
        return None
    shared = tuple(str(getattr(settings, f.name)) for f in fields(FitSettings) if f.name not in OWN)
    return (*shared, training.step, training.sampler.contexts_per_batch, len(training.flat.trained), str(device))


def can_be_stacked(settings: FitSettings) -> bool:
    """Whether the networks are a chain of matrix products under the paper's objective, with no queue, which grows."""
    return is_dense(settings) and not settings.queue and settings.identity().get("objective", "mofore") == "mofore"


def together(keys: Mapping[str, tuple[object, ...] | None]) -> list[list[str]]:
    """Names of runs in groups of equal keys, at most :data:`MOST` each; a run without a key is alone."""
    groups = dict[object, list[str]]()
    for name, key in keys.items():
        groups.setdefault((name,) if key is None else key, []).append(name)
    return [names[begin : begin + MOST] for names in groups.values() for begin in range(0, len(names), MOST)]


def train_together(runs: Sequence[Training], names: Sequence[str], progress: Progress) -> dict[str, StageError]:
    """Take the steps that are left of the runs of a group; returns what ended one of them, by its name.

    On a processor each core has a stack of its own: threads of one product would wait for each other at every layer.
    """
    if len(runs) == 1:
        try:
            runs[0].train(progress)
        except StageError as error:
            return {names[0]: error}
        return {}
    device, settings = runs[0].flat.trained.device, runs[0].settings
    cores = min(torch.get_num_threads(), len(runs)) if device.type == "cpu" else 1
    stacks = [Stack(runs[core::cores], names[core::cores]) for core in range(cores)]
    keep_freed_memory()
    progress.start("fit", sum(settings.steps - run.step for run in runs), "steps")
    try:
        with (
            matrix_products(settings.precision, device),
            threads_of_a_product(cores),
            ThreadPoolExecutor(cores) as pool,
        ):
            stopped = threading.Event()
            for training in [pool.submit(stack.train, progress, stopped) for stack in stacks]:
                training.result()
    finally:
        progress.finish()
    return {name: error for stack in stacks for name, error in stack.failed.items()}


@contextmanager
def threads_of_a_product(stacks: int) -> Iterator[None]:
    """Let so many stacks share torch's threads; each asks how many it has when it begins."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // stacks))
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Stack:
    """S runs that take their steps together; all have been resumed at the same step.

    Args:
        runs: of one :func:`stack_key`.
        names: what to call them where one has something to say.

    Attributes:
        failed: what ended single runs of it, by their names; the others go on.
    """

    def __init__(self, runs: Sequence[Training], names: Sequence[str]) -> None:
        self.runs, self.names, self.failed = tuple(runs), tuple(names), dict[str, StageError]()
        self.networks = StackedNetworks(runs)
        self.objective = StackedMoforeLoss([run.settings for run in runs], runs[0].flat.trained.device)

    def train(self, progress: Progress, stopped: threading.Event) -> None:
        """Take the steps that are left of all runs, unless what ends this stack or another one has ``stopped`` them."""
        try:
            self._train(progress, stopped)
        except BaseException:
            stopped.set()
            raise

    def _train(self, progress: Progress, stopped: threading.Event) -> None:
        told = [Named(progress, name) for name in self.names]
        with ExitStack() as opened, torch.no_grad():
            for run, notes in zip(self.runs, told, strict=True):
                opened.enter_context(run.loop.opened(notes))
            begun = time.monotonic()
            for run in self.runs:
                run.loop.saved = begun
            for batches in self._batches():
                if stopped.is_set():
                    return
                progress.pulse()
                self._took(self.take_step(batches), told)
                progress.advance(len(self.runs))

    def take_step(self, batches: Sequence[Batch]) -> Tensor:
        """One optimiser step and teacher update of each run; returns their figures (S, 4)."""
        forecast_SRE, target_SRE = self.networks.forward(batches)
        gradient_SRE, figures_S4 = self.objective(forecast_SRE, target_SRE, _groups(batches))
        self.networks.backward(gradient_SRE)
        for run in self.runs:
            pace = fit_pace(run.step, run.settings)
            run.learner.adam.step(pace.lr, pace.weight_decay)
            run.flat.move_teacher(pace.toward)
            run.step += 1
        return figures_S4

    def _batches(self) -> Iterator[tuple[Batch, ...]]:
        each = [run.sampler.batches(run.step, run.settings.steps) for run in self.runs]
        return zip(*each, strict=True)

    def _took(self, figures_S4: Tensor, notes: Sequence[Progress]) -> None:
        """Let every run write what is due; checkpoints of all come at the same step."""
        now = time.monotonic()
        for name, run, told, figures_4 in zip(self.names, self.runs, notes, figures_S4, strict=True):
            if name in self.failed:
                continue
            try:
                run.loop.took(figures_4, told, now)
            except StageError as error:
                self.failed[name] = error


class StackedNetworks:
    """Passes of the networks of S runs, whose parameters it moves into memory that they share.

    The gradients by weights are taken into memory of their own and then copied: a batched product into a part of
    (S, P) would be S products.
    """

    def __init__(self, runs: Sequence[Training]) -> None:
        trained_SP = torch.stack([run.flat.trained for run in runs])
        teacher_SP = torch.stack([run.flat.teacher for run in runs])
        gradient_SP = torch.zeros_like(trained_SP)
        for run, *rows in zip(runs, trained_SP, gradient_SP, teacher_SP, strict=True):
            run.move(*rows)
        self.forecasters = [run.forecaster for run in runs]
        first, flat = runs[0].forecaster, runs[0].flat
        weights, gradients = dict[Tensor, Tensor](), dict[Tensor, Tensor]()
        weights.update(zip(flat.every, flat_views(trained_SP, flat.every), strict=True))
        weights.update(zip(flat.teachers, flat_views(teacher_SP, flat.teachers), strict=True))
        gradients.update(zip(flat.every, flat_views(gradient_SP, flat.every), strict=True))

        def stacked(layer: nn.Linear) -> Pass:
            by_weight, by_bias = gradients.get(layer.weight), gradients.get(layer.bias)
            return _Linear(weights[layer.weight], weights[layer.bias], by_weight, by_bias)

        assert isinstance(first.predictor, Predictor)
        self.student = passes(first.student.projection, stacked)
        self.predictor = passes(first.predictor.layers, stacked)
        self.teacher = passes(first.teacher.projection, stacked)

    def forward(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Forecasts and targets (S, R, E); what the backward pass needs is kept."""
        runs = list(zip(self.forecasters, batches, strict=True))
        context_SRD = torch.stack([of.student.pooled(batch.context, batch.kept_BE) for of, batch in runs])
        target_SRD = torch.stack([of.teacher.pooled(batch.target) for of, batch in runs])
        return self.predictor.forward(self.student.forward(context_SRD)), self.teacher.forward(target_SRD)

    def backward(self, gradient_SRE: Tensor) -> None:
        """Set every run's flat gradient from that by its forecasts."""
        by_embedding_SRE = self.predictor.backward(gradient_SRE, through=True)
        assert by_embedding_SRE is not None
        self.student.backward(by_embedding_SRE, through=False)


class _Linear:
    """A linear layer of each run: weights (S, out, in), biases (S, out); no gradients of the teacher's."""

    def __init__(self, weight: Tensor, bias: Tensor, by_weight: Tensor | None, by_bias: Tensor | None) -> None:
        self.weight, self.bias, self.by_weight, self.by_bias = weight, bias, by_weight, by_bias
        self.x = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        return torch.baddbmm(self.bias[:, None], x, self.weight.transpose(1, 2))

    def backward(self, by_y: Tensor, *, through: bool) -> Tensor | None:
        assert self.by_weight is not None
        assert self.by_bias is not None
        self.by_weight.copy_(torch.bmm(by_y.transpose(1, 2), self.x))
        torch.sum(by_y, 1, out=self.by_bias)
        return torch.bmm(by_y, self.weight) if through else None


class StackedMoforeLoss:
    """Eq. (12) of S runs at once, each with its own weight and temperature: :class:`..model.mofore_loss.MoforeLoss`.

    The gradient by the forecasts is one product: what normalising them does to it, and the term of eq. (9), are taken
    into its left factor (R, R), which is smaller than the product.
    """

    def __init__(self, settings: Sequence[FitSettings], device: torch.device) -> None:
        first = settings[0]
        self.normalize, self.symmetric = first.forecast_normalize, first.contrast_symmetric
        self.mean_over_width = first.forecast_reduction == "mean"
        self.weight_S = torch.tensor([run.contrast_weight for run in settings], device=device)
        self.temperature_S11 = torch.tensor([run.temperature for run in settings], device=device)[:, None, None]

    def __call__(self, forecast_SRE: Tensor, target_SRE: Tensor, group_SR: Tensor | None) -> tuple[Tensor, Tensor]:
        """The gradient (S, R, E) by the forecasts, and figures (S, 4): loss, eq. (9), eq. (11), mean cosine."""
        rows, scale = forecast_SRE.shape[1], 1.0 / (forecast_SRE.shape[2] if self.mean_over_width else 1)
        weight_S, temperature_S11 = self.weight_S, self.temperature_S11
        length_SR1 = forecast_SRE.norm(dim=2, keepdim=True).clamp_min_(LEAST_NORM)
        unit_SRE = forecast_SRE / length_SR1
        target_unit_SRE = target_SRE / target_SRE.norm(dim=2, keepdim=True).clamp_min_(LEAST_NORM)
        cosine_SRR = torch.bmm(unit_SRE, target_unit_SRE.transpose(1, 2))
        cosine_S = cosine_SRR.diagonal(dim1=1, dim2=2).mean(dim=1)
        by_cosine_SRR, contrast_S = self._contrast(cosine_SRR.div_(temperature_S11), group_SR)
        by_cosine_SRR.mul_(weight_S[:, None, None] / (temperature_S11 * rows) / length_SR1)
        pull = 2.0 * scale / rows  # of eq. (9)
        if self.normalize:
            error_S = (2.0 - 2.0 * cosine_S) * scale
            by_cosine_SRR.diagonal(dim1=1, dim2=2).sub_(pull / length_SR1[..., 0])
        gradient_SRE = torch.bmm(by_cosine_SRR, target_unit_SRE)
        gradient_SRE.addcmul_(unit_SRE, (unit_SRE * gradient_SRE).sum(dim=2, keepdim=True), value=-1.0)
        if not self.normalize:
            apart_SRE = forecast_SRE - target_SRE
            error_S = apart_SRE.square().sum(dim=(1, 2)) * (scale / rows)
            gradient_SRE.add_(apart_SRE, alpha=pull)
        return gradient_SRE, torch.stack([error_S + weight_S * contrast_S, error_S, contrast_S, cosine_S], dim=1)

    def _contrast(self, logits_SRR: Tensor, group_SR: Tensor | None) -> tuple[Tensor, Tensor]:
        """The gradient of eq. (11) by the logits times R, and its value (S,)."""
        if group_SR is not None:
            same_SRR = group_SR[:, :, None] == group_SR[:, None]
            same_SRR.diagonal(dim1=1, dim2=2).fill_(False)
            logits_SRR = logits_SRR.masked_fill_(same_SRR, -torch.inf)
        share_SRR, surprise_S = _shares(logits_SRR, 2)
        if self.symmetric:
            backward_SRR, backward_S = _shares(logits_SRR, 1)
            share_SRR, surprise_S = share_SRR.add_(backward_SRR).div_(2.0), (surprise_S + backward_S) / 2.0
        share_SRR.diagonal(dim1=1, dim2=2).sub_(1.0)
        return share_SRR, surprise_S


def _shares(logits_SRR: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Softmax over ``dim``, and the mean (S,) of -log of its diagonal.

    The logarithm is taken by way of the largest share, since the diagonal's may be too small for a float.
    """
    share_SRR = logits_SRR.softmax(dim=dim)
    whole_SR = logits_SRR.amax(dim=dim) - share_SRR.amax(dim=dim).log()
    return share_SRR, (whole_SR - logits_SRR.diagonal(dim1=1, dim2=2)).mean(dim=1)


class Named(Silent):
    """Of what one run of several has to say the notes alone, with its name."""

    def __init__(self, progress: Progress, name: str) -> None:
        self.progress, self.name = progress, name

    def note(self, message: str) -> None:
        """A line of the run."""
        self.progress.note(f"{self.name}: {message}")


def _groups(batches: Sequence[Batch]) -> Tensor | None:
    groups = [batch.group_R for batch in batches if batch.group_R is not None]
    return torch.stack(groups) if groups else None
