"""The networks of MoFore: student (aggregator and projection), predictor, and the teacher's moving average.

Equations of arXiv 2606.14765: (5) embeddings, (6) teacher, (7) and (8) predictor.

Differences: the backbone is frozen and a temporal mean has no parameters, so eq. (6) would have nothing to
average; a trainable projection follows the mean, and the teacher averages that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..data.settings import FitSettings

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}


class Embedder(nn.Module):
    """Temporal mean, then a projection: clips (B, L, D) -> embeddings (B, E), eq. (5); not normalised."""

    def __init__(self, width: int, settings: FitSettings) -> None:
        super().__init__()
        if settings.projection == "linear":
            self.projection: nn.Module = nn.Linear(width, settings.embedding_width)
        else:
            self.projection = _mlp(width, settings.embedding_width, settings)

    def forward(self, clips_BLD: Tensor) -> Tensor:
        """Embed clips; the time axis is averaged away, so order within a clip is not seen."""
        embeddings_BE: Tensor = self.projection(clips_BLD.mean(dim=1))
        return embeddings_BE


class Forecaster(nn.Module):
    """Student, predictor and teacher of one run.

    The teacher starts as a copy of the student and takes no gradient; :meth:`update_teacher` moves it.
    """

    def __init__(self, width: int, settings: FitSettings) -> None:
        super().__init__()
        self.student = Embedder(width, settings)
        self.predictor = _mlp(settings.embedding_width, settings.embedding_width, settings)
        self.teacher = Embedder(width, settings).requires_grad_(False)
        self.teacher.load_state_dict(self.student.state_dict())

    def forecast(self, context_BLD: Tensor) -> Tensor:
        """Predicted future embedding (B, E) of context clips, eqs. (7), (8)."""
        forecast_BE: Tensor = self.predictor(self.student(context_BLD))
        return forecast_BE

    @torch.no_grad()
    def target(self, future_BLD: Tensor) -> Tensor:
        """The teacher's embedding (B, E) of future clips."""
        target_BE: Tensor = self.teacher(future_BLD)
        return target_BE

    def trained_parameters(self) -> list[nn.Parameter]:
        """What the optimiser moves: student and predictor."""
        return [*self.student.parameters(), *self.predictor.parameters()]

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        """Xi <- m xi + (1 - m) theta, eq. (6)."""
        teacher: list[Tensor] = list(self.teacher.parameters())
        student: list[Tensor] = list(self.student.parameters())
        torch._foreach_lerp_(teacher, student, 1.0 - momentum)

    @torch.no_grad()
    def teacher_drift(self) -> Tensor:
        """Distance of teacher and student over the student's norm, a scalar."""
        student: list[Tensor] = list(self.student.parameters())
        teacher: list[Tensor] = list(self.teacher.parameters())
        apart = torch.stack(torch._foreach_norm(torch._foreach_sub(student, teacher)))
        drift: Tensor = apart.norm() / torch.stack(torch._foreach_norm(student)).norm()
        return drift


def make_forecaster(width: int, settings: FitSettings) -> Forecaster:
    """A forecaster with weights drawn from ``fit.seed``, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return Forecaster(width, settings)


def _mlp(inputs: int, outputs: int, settings: FitSettings) -> nn.Sequential:
    """Two layers, W2 sigma(W1 z), eqs. (7), (8)."""
    activation = ACTIVATIONS[settings.activation]()
    return nn.Sequential(
        nn.Linear(inputs, settings.hidden_width), activation, nn.Linear(settings.hidden_width, outputs)
    )
