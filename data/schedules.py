"""What changes during a run: pure functions of how many steps are done."""

from __future__ import annotations

import math

from .settings import FinetuneSettings, FitSettings


def learning_rate(step: int, settings: FitSettings) -> float:
    """Learning rate of the step after ``step`` were done: a linear warm-up, then constant or half a cosine to zero."""
    warm = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    if settings.lr_schedule == "constant":
        return settings.lr * warm
    return warm * cosine(settings.lr, 0.0, step / settings.steps)


def finetune_rate(step: int, settings: FinetuneSettings) -> float:
    """Learning rate of the last block after ``step`` steps end to end: as :func:`learning_rate`."""
    warm = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    if settings.lr_schedule == "constant":
        return settings.lr * warm
    return warm * cosine(settings.lr, 0.0, step / settings.steps)


def weight_decay(step: int, settings: FitSettings) -> float:
    """Weight decay of the step after ``step`` were done."""
    if settings.weight_decay_schedule == "constant":
        return settings.weight_decay
    return cosine(settings.weight_decay, settings.weight_decay_end, step / settings.steps)


def momentum(step: int, settings: FitSettings) -> float:
    """Teacher's m of eq. (6) after the step that follows ``step`` done ones; BYOL's schedule reaches 1 at the end."""
    if settings.momentum_schedule == "constant":
        return settings.momentum
    return cosine(settings.momentum, 1.0, step / settings.steps)


def cosine(begin: float, end: float, share: float) -> float:
    """Half a cosine from ``begin`` (share 0) to ``end`` (share 1)."""
    return end + (begin - end) * 0.5 * (1.0 + math.cos(math.pi * share))


def curriculum_gap(share: float, settings: FitSettings) -> float:
    """Upper end of the gap when ``share`` of the steps is done; grows linearly during the first half."""
    if settings.gap_distribution != "curriculum":
        return settings.gap_max
    reach = settings.gap_min + (settings.gap_max - settings.gap_min) * min(1.0, 2.0 * share)
    return math.floor(reach) if settings.unit == "frames" else reach
