"""Steps of dense networks on few rows, in compiled code (``few_rows.c``).

At batch 8 a step is the traffic of weights and moments between the caches and the processor: products read a
megabyte for eight rows. Here weights are read once a product, and the gradient by the weights is summed where the
optimiser wants it, without ever being written; optimiser and teacher move in the same pass, and the objective is one
call in place of twenty. Values are those of the other way but for rounding, and do not depend on the number of threads.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from torch import Tensor, nn

from ...cache.compiled_code import compiled
from ...data.settings import FitSettings
from ..frames.sampler import Batch
from ..model.forecaster import Forecaster
from ..model.objective import Objective
from .flat_parameters import BETA1, BETA2, EPSILON, FlatAdam, FlatParameters
from .networks import DenseNetworks, is_dense
from .thread_count import ThreadCount

SOURCE = Path(__file__).with_suffix(".c")
ROWS, WIDTHS = 8, 32  # what rows and widths must be a multiple of
MOST_ROWS = 16  # as in few_rows.c; of more rows, the usual products are as fast


class _Layer(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "dy")),
        *((name, ctypes.c_void_p) for name in ("w", "w_first", "w_second", "w_teacher")),
        *((name, ctypes.c_void_p) for name in ("b", "b_first", "b_second", "b_teacher")),
        *((name, ctypes.c_long) for name in ("width_in", "width_out")),
    ]


class _Adam(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_float)
        for name in ("beta2", "share1", "share2", "epsilon", "decay", "keep", "size", "unbias", "toward")
    ]


class _Terms(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int) for name in ("normalize", "symmetric")),
        *((name, ctypes.c_float) for name in ("scale", "weight", "temperature")),
    ]


def fits_few_rows(forecaster: Forecaster, flat: FlatParameters, settings: FitSettings, rows: int) -> bool:
    """Whether a step of so many rows can be taken here, and is taken faster."""
    if flat.trained.device.type != "cpu" or not is_dense(settings) or rows > MOST_ROWS or rows % ROWS:
        return False
    layers = (module for module in forecaster.modules() if isinstance(module, nn.Linear))
    return all(width % WIDTHS == 0 for layer in layers for width in layer.weight.shape)


def few_rows_code() -> ctypes.CDLL | None:
    """The compiled library; None where there is no compiler."""
    code = compiled(SOURCE)
    if code is not None:
        pointer, size, integer = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
        code.forward.argtypes = [*4 * [pointer], *3 * [size], integer]
        code.backward.argtypes = [*3 * [pointer], *3 * [size], integer]
        code.update.argtypes = [pointer, integer, size, pointer, integer]
        code.objective.argtypes = [*3 * [pointer], size, size, *5 * [pointer]]
        for function in (code.forward, code.backward, code.update, code.objective):
            function.restype = None
    return code


class FewRows:
    """A :class:`.learner.Learner` of dense networks whose steps have few rows.

    Args:
        forecaster: with its parameters in flat memory.
        adam: whose moments are moved.
        objective: of the run.
        code: the compiled library.
    """

    def __init__(self, forecaster: Forecaster, adam: FlatAdam, objective: Objective, code: ctypes.CDLL) -> None:
        self.adam, self.code, self.threads = adam, code, ThreadCount(torch.get_num_threads())
        self.objective = FewRowsObjective(objective, code)
        made: list[_Linear] = []

        def linear(layer: nn.Linear) -> _Linear:
            made.append(_Linear(layer, code, self.threads))
            return made[-1]

        self.networks = DenseNetworks(forecaster, linear)
        teachers = len([module for module in forecaster.teacher.modules() if isinstance(module, nn.Linear)])
        self.trained, teacher = made[:-teachers], made[-teachers:]
        self.layers = (_Layer * len(self.trained))()
        for number, layer in enumerate(self.trained):
            follower = teacher[number] if number < teachers else None
            self._describe(self.layers[number], layer, follower)

    @property
    def code_name(self) -> str:
        """Of the library: another compiler or processor makes another one."""
        return Path(self.code._name).stem

    def forecast(self, batch: Batch) -> Tensor:
        """Forecasts; what the backward pass needs is kept."""
        self.threads.begin()
        return self.networks.forecast(batch)

    def target(self, batch: Batch) -> Tensor:
        """Targets."""
        return self.networks.target(batch)

    def learn(self, gradient_RE: Tensor, lr: float | Tensor, weight_decay: float, toward: float | Tensor) -> None:
        """Backward pass, optimiser and teacher."""
        self.networks.backward(gradient_RE)
        for described, layer in zip(self.layers, self.trained, strict=True):
            described.x, described.dy = layer.x.data_ptr(), layer.by_y.data_ptr()
        self.adam.steps.add_(1)
        pace = self._pace(int(self.adam.steps), float(lr), weight_decay, float(toward))
        self.code.update(self.layers, len(self.layers), len(gradient_RE), ctypes.byref(pace), self.threads.count)
        self.threads.end()

    def _pace(self, step: int, lr: float, weight_decay: float, toward: float) -> _Adam:
        decoupled = self.adam.decoupled
        return _Adam(
            beta2=BETA2,
            share1=1.0 - BETA1,
            share2=1.0 - BETA2,
            epsilon=EPSILON,
            decay=0.0 if decoupled else weight_decay,
            keep=1.0 - lr * weight_decay if decoupled else 1.0,
            size=lr / (1.0 - BETA1**step),
            unbias=(1.0 - BETA2**step) ** -0.5,
            toward=toward,
        )

    def _describe(self, described: _Layer, layer: _Linear, teacher: _Linear | None) -> None:
        """Where weights, moments and the teacher's weights lie."""
        described.width_in, described.width_out = layer.weight.shape[1], layer.weight.shape[0]
        flat = self.adam.flat.trained
        for letter, name in (("w", "weight"), ("b", "bias")):
            parameter: Tensor = getattr(layer, name)
            offset = parameter.data_ptr() - flat.data_ptr()
            setattr(described, letter, parameter.data_ptr())
            setattr(described, f"{letter}_first", self.adam.first.data_ptr() + offset)
            setattr(described, f"{letter}_second", self.adam.second.data_ptr() + offset)
            setattr(described, f"{letter}_teacher", getattr(teacher, name).data_ptr() if teacher else None)


class FewRowsObjective:
    """Value and gradient of an objective for few rows; those with a queue go by torch."""

    def __init__(self, objective: Objective, code: ctypes.CDLL) -> None:
        self.objective, self.code = objective, code

    def __call__(
        self, forecast_RE: Tensor, target_RE: Tensor, group_R: Tensor | None = None, queue_QE: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`.objective.Objective.__call__`."""
        if queue_QE is not None:
            return self.objective(forecast_RE, target_RE, group_R, queue_QE)
        rows, width = forecast_RE.shape
        gradient_RE, unit_RE, scratch_RE = torch.empty(3, rows, width)
        figures = torch.empty(4)
        forecast_RE, target_RE = forecast_RE.contiguous(), target_RE.contiguous()
        group_R = None if group_R is None else group_R.to(torch.int64).contiguous()
        self.code.objective(
            forecast_RE.data_ptr(),
            target_RE.data_ptr(),
            None if group_R is None else group_R.data_ptr(),
            rows,
            width,
            ctypes.byref(self._terms(width)),
            gradient_RE.data_ptr(),
            unit_RE.data_ptr(),
            figures.data_ptr(),
            scratch_RE.data_ptr(),
        )
        return gradient_RE, figures, unit_RE

    def _terms(self, width: int) -> _Terms:
        o = self.objective
        scale = 1.0 / (width if o.mean_over_width else 1)
        return _Terms(o.normalize, o.symmetric, scale, o.weight, o.temperature)


class _Linear:
    """Passes of a layer; the gradient by its parameters is left to ``update``."""

    def __init__(self, layer: nn.Linear, code: ctypes.CDLL, threads: ThreadCount) -> None:
        self.weight, self.bias = layer.weight.data, layer.bias.data
        self.code, self.threads = code, threads
        self.x = self.by_y = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.x = x.contiguous()
        rows, out = len(x), len(self.weight)
        y = torch.empty(rows, out)
        where = (self.x.data_ptr(), self.weight.data_ptr(), self.bias.data_ptr(), y.data_ptr())
        self.code.forward(*where, rows, x.shape[1], out, self.threads.count)
        return y

    def backward(self, by_y: Tensor, *, through: bool) -> Tensor | None:
        self.by_y = by_y.contiguous()
        if not through:
            return None
        rows, (out, width) = len(by_y), self.weight.shape
        by_x = torch.empty(rows, width)
        where = (self.by_y.data_ptr(), self.weight.data_ptr(), by_x.data_ptr())
        self.code.backward(*where, rows, width, out, self.threads.count)
        return by_x
