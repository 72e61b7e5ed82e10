"""What a step asks of networks, optimiser and teacher, and which code answers."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ...data.errors import StageError
from ...data.settings import FitSettings
from ..distributed.process_group import ProcessGroup
from ..frames.sampler import Batch
from ..model.forecaster import Forecaster
from ..model.objective import Objective
from .few_rows import FewRows, few_rows_code, fits_few_rows
from .flat_parameters import FlatAdam, FlatParameters
from .networks import make_networks


class Loss(Protocol):
    """Value and gradient of the objective."""

    def __call__(
        self, forecast_RE: Tensor, target_RE: Tensor, group_R: Tensor | None = None, queue_QE: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`.objective.Objective.__call__`."""


class Learner(Protocol):
    """Forecasts, and learns from their gradient."""

    @property
    def objective(self) -> Loss:
        """What the gradient is of."""

    @property
    def code_name(self) -> str:
        """Of the code that takes the steps: the last digits are its own."""

    def forecast(self, batch: Batch) -> Tensor:
        """Forecasts (B x H, E); what the backward pass needs is kept."""

    def target(self, batch: Batch) -> Tensor:
        """The teacher's embeddings (B x H, E) of the targets."""

    def learn(self, gradient_RE: Tensor, lr: float | Tensor, weight_decay: float, toward: float | Tensor) -> None:
        """Move student and predictor down the gradient by the latest forecasts, and the teacher after the student."""


def make_learner(
    forecaster: Forecaster,
    flat: FlatParameters,
    adam: FlatAdam,
    settings: FitSettings,
    process_group: ProcessGroup,
    rows: int,
) -> Learner:
    """Compiled code for steps of few rows where ``fit.compile`` wants it and it can be had, else torch.

    Args:
        forecaster: with its parameters in ``flat``.
        flat: all parameters.
        adam: the optimiser over them.
        settings: of the run.
        process_group: the processes that share it.
        rows: of a step.

    Raises:
        StageError: if ``fit.compile = "on"`` and such a step is to be taken, but there is no compiler for it.
    """
    if settings.compile != "off" and process_group.size == 1 and fits_few_rows(forecaster, flat, settings, rows):
        code = few_rows_code()
        if code is not None:
            return FewRows(forecaster, adam, Objective.of(settings), code)
        if settings.compile == "on":
            raise StageError(
                'fit.compile = "on": none of cc, gcc and clang (or what CC names) makes few_rows.c into a library '
                'here; "auto" goes on without'
            )
    return Eager(forecaster, flat, adam, settings, process_group)


class Eager:
    """One operation of torch after the other, on any device and for any networks."""

    code_name = "torch"

    def __init__(
        self,
        forecaster: Forecaster,
        flat: FlatParameters,
        adam: FlatAdam,
        settings: FitSettings,
        process_group: ProcessGroup,
    ) -> None:
        self.networks, self.objective = make_networks(forecaster, flat, settings), Objective.of(settings)
        self.flat, self.adam, self.process_group = flat, adam, process_group

    def forecast(self, batch: Batch) -> Tensor:
        """Forecasts."""
        return self.networks.forecast(batch)

    def target(self, batch: Batch) -> Tensor:
        """Targets."""
        return self.networks.target(batch)

    def learn(self, gradient_RE: Tensor, lr: float | Tensor, weight_decay: float, toward: float | Tensor) -> None:
        """Backward pass, the gradient of all processes, optimiser, teacher."""
        self.networks.backward(gradient_RE)
        self.process_group.add_up(self.flat.gradient)
        self.adam.step(lr, weight_decay)
        self.flat.move_teacher(toward)
