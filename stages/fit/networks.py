"""What a step does with a run's networks: forward and backward passes, optimiser and teacher.

The passes are autograd's for any networks, and written out for the paper's.

At batch 8 autograd's bookkeeping costs as much as the arithmetic. The networks of the paper (mean pool, dense
projection, dense predictor) are a chain of matrix products, so their backward pass is a dozen lines here, straight into
the flat gradient; a test holds it against autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...data.fit_settings import POOLED, FitSettings
from ..distributed.process_group import ProcessGroup
from ..frames.sampler import Batch
from ..model.forecaster import Forecaster, Predictor, Residual
from ..model.loop import FIGURES
from ..model.mofore_loss import MoforeLoss
from ..model.negatives_queue import NegativesQueue
from .flat_parameters import FlatAdam, FlatParameters


class Learner:
    """Forecasts, and learns from eq. (12): any networks, on any device.

    Args:
        forecaster: with its parameters in ``flat``.
        flat: all parameters.
        settings: of the run.
        process_group: the processes that share it.
    """

    figures: tuple[str, ...] = FIGURES

    def __init__(
        self, forecaster: Forecaster, flat: FlatParameters, settings: FitSettings, process_group: ProcessGroup
    ) -> None:
        self.networks, self.adam = make_networks(forecaster, flat, settings), FlatAdam(flat, settings)
        self.flat, self.process_group, self.objective = flat, process_group, MoforeLoss.of(settings)
        self.queue = NegativesQueue(settings.queue, forecaster.width, flat.trained.device)

    def step(self, batch: Batch, lr: float | Tensor, weight_decay: float, toward: float | Tensor) -> Tensor:
        """One optimiser step and teacher update; the :data:`FIGURES` (4,). Scalars are tensors within a graph."""
        forecast_RE, target_RE = self.forward(batch)
        gradient_RE, figures, target_unit_RE = self._valued(forecast_RE, target_RE, batch.group_R)
        self.learn(gradient_RE, lr, weight_decay, toward)
        self.queue.push(target_unit_RE)
        return figures

    def state(self) -> dict[str, Tensor]:
        """What a step depends on beside parameters and optimiser."""
        return {"queue": self.queue.rows_QE}

    def meta(self) -> dict[str, Any]:
        """The queue's place."""
        return {"pushed": self.queue.pushed}

    def restore(self, meta: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.queue.pushed = meta["pushed"]

    def _valued(self, forecast_RE: Tensor, target_RE: Tensor, group_R: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The objective over the rows of all processes, and this process's part of its gradient."""
        process_group, rows, queue_QE = self.process_group, len(forecast_RE), self.queue.filled()
        if process_group.size == 1:
            return self.objective(forecast_RE, target_RE, group_R, queue_QE)
        group_R = None if group_R is None else process_group.gather(group_R)
        both_RE = process_group.gather(torch.cat([forecast_RE, target_RE], dim=1))  # one exchange instead of two
        forecasts_RE, targets_RE = both_RE.chunk(2, dim=1)
        whole = self.objective(forecasts_RE, targets_RE, group_R, queue_QE)
        return whole[0][process_group.rank * rows : (process_group.rank + 1) * rows], whole[1], whole[2]

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Forecasts and targets, both (B x H, E); what the backward pass needs is kept."""
        return self.networks.forecast(batch), self.networks.target(batch)

    def learn(self, gradient_RE: Tensor, lr: float | Tensor, weight_decay: float, toward: float | Tensor) -> None:
        """Move student and predictor down the gradient by the latest forecasts, and the teacher after the student."""
        self.networks.backward(gradient_RE)
        self.process_group.add_up(self.flat.gradient)
        self.adam.step(lr, weight_decay)
        self.flat.move_teacher(toward)


class Networks(Protocol):
    """Passes of a run's networks."""

    def forecast(self, batch: Batch) -> Tensor:
        """Forecasts (B x H, E); what the backward pass needs is kept."""

    def target(self, batch: Batch) -> Tensor:
        """The teacher's embeddings (B x H, E) of the targets."""

    def backward(self, gradient_RE: Tensor) -> None:
        """Set the flat gradient from the gradient by the latest forecasts."""


def make_networks(forecaster: Forecaster, flat: FlatParameters, settings: FitSettings) -> Networks:
    """Written-out passes where there are some, else autograd's."""
    return DenseNetworks(forecaster) if is_dense(settings) else AutogradNetworks(forecaster, flat)


def is_dense(settings: FitSettings) -> bool:
    """Whether what is trained is a chain of matrix products, after pooling without parameters and a fixed map."""
    return settings.aggregator in POOLED and settings.inputs == "plain" and settings.predictor in ("mlp", "none")


class AutogradNetworks:
    """Forward and backward passes of any networks, by autograd."""

    def __init__(self, forecaster: Forecaster, flat: FlatParameters) -> None:
        self.forecaster, self.flat = forecaster, flat
        self._forecast_RE: Tensor | None = None

    def forecast(self, batch: Batch) -> Tensor:
        """Forecasts, with their graph kept."""
        with torch.enable_grad():
            self._forecast_RE = self.forecaster.forecast(batch.context, batch.gap_BH, batch.kept_BE)
        return self._forecast_RE.detach()

    def target(self, batch: Batch) -> Tensor:
        """The teacher's embeddings (B x H, E) of the targets."""
        return self.forecaster.target(batch.target)

    def backward(self, gradient_RE: Tensor) -> None:
        """Through the kept graph."""
        assert self._forecast_RE is not None
        self.flat.gradient.zero_()
        self._forecast_RE.backward(gradient_RE)
        self._forecast_RE = None


class DenseNetworks:
    """Pooling, dense projection, dense predictor."""

    def __init__(self, forecaster: Forecaster) -> None:
        assert isinstance(forecaster.predictor, Predictor)
        self.forecaster = forecaster
        self.student = passes(forecaster.student.projection)
        self.predictor = passes(forecaster.predictor.layers)
        self.teacher = passes(forecaster.teacher.projection)

    def forecast(self, batch: Batch) -> Tensor:
        """Forecasts (B x H, E); what the backward pass needs is kept."""
        pooled_BD = self.forecaster.student.pooled(batch.context, batch.kept_BE)
        return self.predictor.forward(self.student.forward(pooled_BD))

    def target(self, batch: Batch) -> Tensor:
        """The teacher's embeddings (B x H, E) of the targets."""
        return self.teacher.forward(self.forecaster.teacher.pooled(batch.target))

    def backward(self, gradient_RE: Tensor) -> None:
        """Through the layers in turn."""
        by_embedding_RE = self.predictor.backward(gradient_RE, through=True)
        assert by_embedding_RE is not None
        self.student.backward(by_embedding_RE, through=False)


class Pass(Protocol):
    """A layer, or several."""

    def forward(self, x: Tensor) -> Tensor:
        """(rows, in) to (rows, out)."""

    def backward(self, by_y: Tensor, *, through: bool) -> Tensor | None:
        """Set the gradient by the parameters; return that by the input where it is wanted (``through``)."""


class _Linear:
    def __init__(self, layer: nn.Linear) -> None:
        self.weight, self.bias = layer.weight.data, layer.bias.data
        self.by_weight, self.by_bias = layer.weight.grad, layer.bias.grad
        self.x = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        return torch.addmm(self.bias, x, self.weight.t())

    def backward(self, by_y: Tensor, *, through: bool) -> Tensor | None:
        torch.mm(by_y.t(), self.x, out=self.by_weight)
        torch.sum(by_y, 0, out=self.by_bias)
        return by_y @ self.weight if through else None


class _Relu:
    def __init__(self) -> None:
        self.y = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.y = x.relu_()
        return self.y

    def backward(self, by_y: Tensor, *, through: bool) -> Tensor:
        by_x: Tensor = torch.ops.aten.threshold_backward(by_y, self.y, 0)
        return by_x


class _Gelu:
    def __init__(self) -> None:
        self.x = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        return nn.functional.gelu(x)

    def backward(self, by_y: Tensor, *, through: bool) -> Tensor:
        by_x: Tensor = torch.ops.aten.gelu_backward(by_y, self.x)
        return by_x


class _Chain:
    def __init__(self, passes: list[Pass]) -> None:
        self.passes = passes

    def forward(self, x: Tensor) -> Tensor:
        for each in self.passes:
            x = each.forward(x)
        return x

    def backward(self, by_y: Tensor, *, through: bool) -> Tensor | None:
        by_x: Tensor | None = by_y
        for number, each in reversed(list(enumerate(self.passes))):
            assert by_x is not None
            by_x = each.backward(by_x, through=through or number > 0)
        return by_x


class _Sum:
    """A skip connection, x + f(x), with its backward pass written out."""

    def __init__(self, inner: Pass) -> None:
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner.forward(x).add_(x)

    def backward(self, by_y: Tensor, *, through: bool) -> Tensor | None:
        by_x = self.inner.backward(by_y, through=through)
        return None if by_x is None else by_x.add_(by_y)


def passes(module: nn.Module, linear: Callable[[nn.Linear], Pass] = _Linear) -> Pass:
    """Of some layers the passes, in which those of linear ones are made by ``linear``."""
    match module:
        case nn.Linear():
            return linear(module)
        case nn.ReLU():
            return _Relu()
        case nn.GELU():
            return _Gelu()
        case nn.Sequential():
            return _Chain([passes(part, linear) for part in module])
        case Residual():
            return _Sum(passes(module.inner, linear))
        case _:
            raise AssertionError(f"no written-out passes of {module}")
