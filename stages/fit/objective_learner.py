"""A step of an objective that autograd differentiates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...data.fit_settings import FitSettings
from ..frames.sampler import mixed
from ..model.forecaster import Forecaster
from ..objectives.contract import ClipBatch, Objective, Step
from .flat_parameters import FlatAdam, FlatParameters

HEADS = 1 << 20  # added to the seed of the heads' weights, so that networks begin as without them
NOISE = 1 << 40  # added to a step's number for its noise, so that this is not that of a round


class ObjectiveLearner:
    """Student, predictor, teacher and the objective's heads, and what a step does with them.

    Args:
        forecaster: the networks; their parameters, and those of the heads, become views of flat memory.
        objective: what is learnt.
        settings: of the run.
    """

    def __init__(self, forecaster: Forecaster, objective: Objective, settings: FitSettings) -> None:
        self.networks, self.objective, self.settings = forecaster, objective, settings
        device = next(forecaster.parameters()).device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed + HEADS)
            self.heads = objective.heads(forecaster.width, forecaster.features).to(device)
        self.flat = FlatParameters(forecaster, self.heads)
        self.adam = FlatAdam(self.flat, settings)
        self.figures = objective.figures
        self.number = 0

    def step(self, batch: ClipBatch, lr: float | Tensor, weight_decay: float, toward: float | Tensor) -> Tensor:
        """One optimiser step and teacher update; the objective's figures, on the device."""
        step = self.at(batch)
        with torch.enable_grad():
            figures = self.objective.loss(step)
            self.flat.gradient.zero_()
            figures[0].backward()
        self.adam.step(lr, weight_decay)
        self.flat.move_teacher(toward)
        self.objective.after(step)
        self.number += 1
        return torch.stack([figure.detach().float() for figure in figures])

    def at(self, batch: ClipBatch) -> Step:
        """What the loss of the present step is computed from."""
        generator = torch.Generator().manual_seed(mixed(self.settings.seed, NOISE + self.number))
        return Step(self.networks, self.heads, batch, self.number, generator)

    def state(self) -> dict[str, Tensor]:
        """Queues, centres and averages of heads; what is trained is in ``flat``."""
        averages = {name: each for name, each in self.heads.named_parameters() if not each.requires_grad}
        kept = {**dict(self.heads.named_buffers()), **averages}
        return {f"heads.{name}": each.data for name, each in kept.items()}

    def meta(self) -> dict[str, Any]:
        """The step's number."""
        return {"number": self.number}

    def restore(self, meta: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.number = int(meta["number"])
