"""What changes during a run: pure functions of how many steps are done."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .fit_settings import FitSettings
from .settings import FinetuneSettings


@dataclass(frozen=True, slots=True)
class Pace:
    """How far a step goes."""

    lr: float  # learning rate
    weight_decay: float  # of the optimiser
    momentum: float  # the teacher's m of eq. (6), after the step.

    @property
    def toward(self) -> float:
        """1 - m: the share of the way to the student that the teacher goes."""
        return 1.0 - self.momentum


def fit_pace(step: int, settings: FitSettings) -> Pace:
    """Of the step of a fit after ``step`` were done; BYOL's schedule of the momentum reaches 1 at the end."""
    share, decay, momentum = step / settings.steps, settings.weight_decay, settings.momentum
    if settings.weight_decay_schedule != "constant":
        decay = cosine(settings.weight_decay, settings.weight_decay_end, share)
    if settings.momentum_schedule != "constant":
        momentum = cosine(settings.momentum, 1.0, share)
    return Pace(_rate(step, settings), decay, momentum)


def finetune_pace(step: int, settings: FinetuneSettings, fit: FitSettings) -> Pace:
    """Of the step end to end after ``step`` were done: the rate of the last block, and the fit's weight decay."""
    return Pace(_rate(step, settings), fit.weight_decay, settings.momentum)


def _rate(step: int, settings: FitSettings | FinetuneSettings) -> float:
    """A linear warm-up, then constant or half a cosine to zero."""
    warm = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    if settings.lr_schedule == "constant":
        return settings.lr * warm
    return warm * cosine(settings.lr, 0.0, step / settings.steps)


def cosine(begin: float, end: float, share: float) -> float:
    """Half a cosine from ``begin`` (share 0) to ``end`` (share 1)."""
    return end + (begin - end) * 0.5 * (1.0 + math.cos(math.pi * share))


def curriculum_gap(share: float, settings: FitSettings) -> float:
    """Upper end of the gap when ``share`` of the steps is done; grows linearly during the first half."""
    if settings.gap_distribution != "curriculum":
        return settings.gap_max
    reach = settings.gap_min + (settings.gap_max - settings.gap_min) * min(1.0, 2.0 * share)
    return math.floor(reach) if settings.unit == "frames" else reach
