"""How well the future is forecast, by gap, beside the forecasts that cost nothing.

All errors are between unit vectors, where the mean over E of the squared error is 2 (1 - cos) / E: two
unrelated vectors of 512 dimensions score 0.0039, so an error says nothing without its floor.

- persistence: the future is like the context (teacher's embedding of the context clip);
- climatology: the mean target of the training videos, not normalised;
- chance: the future of another video.

skill = 1 - error / error of persistence; R^2 = 1 - error / error of climatology.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..data.clips import Pairs, spread_pairs, spread_views
from ..data.settings import FitSettings
from .embed import embed_clips
from .forecaster import Forecaster
from .frame_memory import FrameMemory

STARTS = 3  # pairs of a gap in each video
GAPS = 5  # gaps between fit.gap_min and fit.gap_max


@dataclass(frozen=True, slots=True)
class Errors:
    """Squared errors (mean over E) and cosines of B forecasts of one kind."""

    squared_B: Tensor
    cosine_B: Tensor

    @classmethod
    def of(cls, forecast_BE: Tensor, target_BE: Tensor) -> Errors:
        """Hold forecasts against unit targets."""
        cosine_B = functional.cosine_similarity(forecast_BE, target_BE, dim=1)
        return cls((forecast_BE - target_BE).square().mean(dim=1), cosine_B)

    def summary(self) -> dict[str, float]:
        """Means of both."""
        return {"mse": float(self.squared_B.mean()), "cosine": float(self.cosine_B.mean())}


def climatology(forecaster: Forecaster, memory: FrameMemory, settings: FitSettings, views: int) -> Tensor:
    """Mean unit target (E,) of windows spread over the training videos."""
    start_VK, length_V = spread_views(memory.frames_V, clip_length=settings.clip_length, views=views)
    video_B = torch.arange(len(length_V), device=start_VK.device).repeat_interleave(views)
    length_B = length_V.repeat_interleave(views)
    args = (memory, video_B, start_VK.flatten(), length_B, settings.clip_length)
    return embed_clips(forecaster.teacher, *args).mean(dim=0)


def forecast_metrics(
    forecaster: Forecaster, memory: FrameMemory, settings: FitSettings, climate_E: Tensor
) -> dict[str, Any]:
    """Error, cosine, R^2 and skill on the videos of ``memory``, for each gap and over all of them.

    Returns:
        {"gaps": {"0": {...}, ...}, "all": {...}}; a gap for which fewer than two videos are long enough is
        left out, and both are empty if there is none.
    """
    kinds: dict[str, list[Errors]] = {}
    by_gap: dict[str, Any] = {}
    for gap in probe_gaps(settings):
        item_B, pairs = spread_pairs(memory.frames_V, clip_length=settings.clip_length, gap=gap, starts=STARTS)
        if len(item_B) < 2 * STARTS:
            continue
        errors = _errors(forecaster, memory, settings, climate_E, item_B, pairs)
        by_gap[str(gap)] = _row(errors)
        for kind, values in errors.items():
            kinds.setdefault(kind, []).append(values)
    if not kinds:
        return {"gaps": {}, "all": {}}
    pooled = {
        kind: Errors(torch.cat([e.squared_B for e in parts]), torch.cat([e.cosine_B for e in parts]))
        for kind, parts in kinds.items()
    }
    return {"gaps": by_gap, "all": _row(pooled)}


def probe_gaps(settings: FitSettings) -> list[int]:
    """Up to :data:`GAPS` evenly spaced gaps, both ends included, in frames."""
    span = settings.gap_max - settings.gap_min
    return sorted({settings.gap_min + span * step // (GAPS - 1) for step in range(GAPS)})


def neighbour_similarity(forecaster: Forecaster, memory: FrameMemory, clip_length: int) -> Tensor:
    """Cosines (B,) of the teacher's embeddings of adjoining clips, the paper's temporal consistency."""
    item_B, pairs = spread_pairs(memory.frames_V, clip_length=clip_length, gap=0, starts=STARTS)
    if not len(item_B):
        return torch.empty(0)
    context_BE = embed_clips(forecaster.teacher, memory, item_B, pairs.context_B, pairs.length_B, clip_length)
    future_BE = embed_clips(forecaster.teacher, memory, item_B, pairs.future_B, pairs.length_B, clip_length)
    return (context_BE * future_BE).sum(dim=1)


def _errors(
    forecaster: Forecaster,
    memory: FrameMemory,
    settings: FitSettings,
    climate_E: Tensor,
    item_B: Tensor,
    pairs: Pairs,
) -> dict[str, Errors]:
    context = (memory, item_B, pairs.context_B, pairs.length_B, settings.clip_length)
    future = (memory, item_B, pairs.future_B, pairs.length_B, settings.clip_length)
    student_to_future = torch.nn.Sequential(forecaster.student, forecaster.predictor)
    target_BE = embed_clips(forecaster.teacher, *future)
    return {
        "forecast": Errors.of(embed_clips(student_to_future, *context), target_BE),
        "persistence": Errors.of(embed_clips(forecaster.teacher, *context), target_BE),
        "climatology": Errors.of(climate_E.expand_as(target_BE), target_BE),
        "chance": Errors.of(target_BE.roll(STARTS, dims=0), target_BE),  # the next video's, same place
    }


def _row(errors: dict[str, Errors]) -> dict[str, Any]:
    squared_B = errors["forecast"].squared_B
    baselines = {kind: errors[kind].summary() for kind in ("persistence", "climatology", "chance")}
    mean = float(squared_B.mean())
    return {
        "n": len(squared_B),
        **errors["forecast"].summary(),
        "mse_sd": float(squared_B.std(correction=0)),
        "skill": _gain(mean, baselines["persistence"]["mse"]),
        "r2": _gain(mean, baselines["climatology"]["mse"]),
        **baselines,
    }


def _gain(error: float, reference: float) -> float | None:
    """1 - error / reference; undefined where the reference makes no error (a collapsed space)."""
    return 1.0 - error / reference if reference > 1e-12 else None
