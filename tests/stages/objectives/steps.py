"""One step of an objective on drawn motions, to hold its loss against a direct computation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mofore.stages.fit.objective_learner import ObjectiveLearner
from mofore.stages.objectives.contract import Objective, Step

from .trained import motions, settings_of, training_of


def step_of(name: str, folder: Path, steps: int = 2, **changes: Any) -> tuple[Any, Step]:
    """An objective that has taken ``steps``, and its next step."""
    training = training_of(settings_of(name, **{"batch_size": 8, **changes}), motions(range(1, 2)), folder)
    learner, batches = training.learner, training._batches()
    assert isinstance(learner, ObjectiveLearner)
    with torch.no_grad():
        for _ in range(steps):
            training.take_step(next(batches))
    return learner.objective, learner.at(next(batches))


def unit(x: Tensor) -> Tensor:
    """Rows of length 1."""
    return x / x.norm(dim=-1, keepdim=True)


def loss_of(objective: Objective, step: Step) -> Tensor:
    """The first figure."""
    with torch.no_grad():
        return objective.loss(step)[0]
