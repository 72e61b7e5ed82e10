"""All parameters of a forecaster in three flat tensors: trained ones, their gradient, and the teacher's.

The optimiser, the moving average and an exchange between processes then each are one operation over memory that
lies in one piece, instead of one for every layer.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ...data.fit_settings import FitSettings
from ..model.forecaster import Forecaster

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's usual ones; open in the paper


class FlatParameters:
    """The parameters of a forecaster, moved into flat memory; its modules then hold views of it.

    Attributes:
        trained: of student, then predictor, then the heads that an objective adds.
        gradient: of the same; every trained parameter's ``grad`` is a view of it.
        teacher: of the teacher, in the student's order.
    """

    def __init__(self, forecaster: Forecaster, heads: nn.Module | None = None) -> None:
        self.students, self.teachers = list(forecaster.student.parameters()), list(forecaster.teacher.parameters())
        added = [] if heads is None else [each for each in heads.parameters() if each.requires_grad]
        self.every = [*self.students, *forecaster.predictor.parameters(), *added]
        trained = _flattened(self.every)
        teacher = _flattened(self.teachers) if self.teachers else torch.empty_like(trained[:0])  # projection = none
        self.move(trained, torch.zeros_like(trained), teacher)

    def move(self, trained: Tensor, gradient: Tensor, teacher: Tensor) -> None:
        """Take flat memory that holds the values, in place of what was there."""
        self.trained, self.gradient, self.teacher = trained, gradient, teacher
        self.student = trained[: len(teacher)]
        for parameters, flat in ((self.every, trained), (self.teachers, teacher)):
            for parameter, view in zip(parameters, flat_views(flat, parameters), strict=True):
                parameter.data = view
        for parameter, view in zip(self.every, flat_views(self.gradient, self.every), strict=True):
            parameter.grad = view

    def move_teacher(self, toward: Tensor | float) -> None:
        """Xi <- m xi + (1 - m) theta, eq. (6); ``toward`` is 1 - m."""
        self.teacher.lerp_(self.student, toward)

    def teacher_drift(self) -> Tensor:
        """Distance of teacher and student over the student's norm, a scalar."""
        drift: Tensor = (self.student - self.teacher).norm() / self.student.norm().clamp_min(1e-12)
        return drift


class FlatAdam:
    """Adam (Kingma and Ba 2015) or AdamW (Loshchilov and Hutter 2019), fused, over flat parameters."""

    def __init__(self, flat: FlatParameters, settings: FitSettings) -> None:
        self.flat, self.decoupled = flat, settings.optimizer == "adamw"
        self.decays = settings.weight_decay > 0 or settings.weight_decay_end > 0
        self.first, self.second = torch.zeros_like(flat.trained), torch.zeros_like(flat.trained)
        self.steps = torch.zeros((), device=flat.trained.device)

    def step(self, lr: float | Tensor, weight_decay: float) -> None:
        """Move the trained parameters down their gradient."""
        if self.decays and self.decoupled:
            self.flat.trained.mul_(1.0 - lr * weight_decay)
        self.steps.add_(1)
        # What torch.optim.Adam(fused=True) calls: its own bookkeeping takes as long as a tenth of a step at batch 8.
        torch._fused_adam_(
            [self.flat.trained],
            [self.flat.gradient],
            [self.first],
            [self.second],
            [],
            [self.steps],
            lr=lr,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=0.0 if self.decoupled else weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )


def _flattened(parameters: list[nn.Parameter]) -> Tensor:
    """One tensor with all values."""
    return torch.cat([parameter.detach().flatten() for parameter in parameters])


def flat_views(flat: Tensor, parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """Of each parameter its part of ``flat`` (P,), in its shape; or of (S, P), with S in front."""
    views, begin = [], 0
    for parameter in parameters:
        views.append(flat[..., begin : begin + parameter.numel()].unflatten(-1, parameter.shape))
        begin += parameter.numel()
    return views
