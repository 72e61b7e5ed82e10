"""Embeddings of videos: several temporal views through one embedder, averaged (Figure 1 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.arrays import Float32
from ...data.blocks import blocks
from ...data.clips import Windows, spread_views
from ...data.fit_settings import FitSettings
from ..frames.memory import Clips, FrameTensors
from ..vectors.normalize import l2_normalize
from .forecaster import ForecastEmbedder, Forecaster
from .input_map import pool_whole

BLOCK_BYTES = 64 << 20  # of gathered frames at a time
BLOCK_VIDEOS = 1024  # of pooled ones


def take_clips(
    memory: FrameTensors, video_B: Tensor, windows: Windows, settings: FitSettings, *, means: bool = False
) -> Clips:
    """Clips as the aggregator of ``settings`` wants them: frames, or (always with ``means``) their means alone."""
    rows_BL = memory.rows(video_B, windows, settings.clip_length)
    if means or settings.aggregator == "mean":
        return memory.means(video_B, rows_BL, dense=settings.dense)
    return memory.clips(rows_BL)


def take_contexts(memory: FrameTensors, video_B: Tensor, windows: Windows, settings: FitSettings) -> Clips:
    """Clips that something is forecast from: with all that was seen by their end, where the predictor asks for it."""
    clips = take_clips(memory, video_B, windows, settings)
    if not settings.sees_history:
        return clips
    rows_BL = memory.rows(video_B, windows, settings.clip_length)
    return replace(clips, seen=memory.seen(video_B, rows_BL, settings))


def embed_clips(
    embedder: nn.Module,
    memory: FrameTensors,
    video_B: Tensor,
    windows: Windows,
    settings: FitSettings,
    *,
    means: bool = False,
) -> Tensor:
    """Unit embeddings (B, E) of any number of clips, in blocks of bounded memory; ``means`` as :func:`take_clips`."""
    return functional.normalize(outputs(embedder, memory, video_B, windows, settings, means=means), dim=1)


def clips_at_once(settings: FitSettings, width: int) -> int:
    """Clips that :func:`outputs` embeds together: the last bits of each depend on their number, not on the others."""
    seen = settings.history if settings.sees_history else 0
    return max(1, BLOCK_BYTES // (4 * (settings.clip_length + seen) * width))


def videos_at_once(settings: FitSettings, width: int, views: int) -> int:
    """Videos that :func:`embed_videos` embeds together, as far as :meth:`Views.pooled` depends on it."""
    whole = settings.video_pooling == "whole"
    return BLOCK_VIDEOS if whole else _views_at_once(settings, width, views) // views


def _views_at_once(settings: FitSettings, width: int, views: int) -> int:
    return views * max(1, BLOCK_BYTES // (4 * settings.clip_length * width * views))  # of whole videos


@torch.inference_mode()
def outputs(
    embedder: nn.Module,
    memory: FrameTensors,
    video_B: Tensor,
    windows: Windows,
    settings: FitSettings,
    *,
    means: bool = False,
) -> Tensor:
    """The same as the embedder says them, not normalised."""
    size = clips_at_once(settings, memory.width)
    parts = ((video_B[rows], windows[rows]) for rows in blocks(len(video_B), size))
    if isinstance(embedder, ForecastEmbedder):
        clips = (take_contexts(memory, *part, settings) for part in parts)
    else:
        clips = (take_clips(memory, *part, settings, means=means) for part in parts)
    return torch.cat([embedder(part) for part in memory.ahead(clips)])


def embed_views(embedder: nn.Module, memory: FrameTensors, settings: FitSettings, *, views: int) -> Tensor:
    """Unit embeddings (V, views, E) of evenly spread windows of each video."""
    video_B, windows = spread_views(memory.extent_V(settings.unit), span=settings.span, views=views)
    embeddings_BE = embed_clips(embedder, memory, video_B, windows, settings)
    return embeddings_BE.view(len(memory.frames_V), views, -1)


@dataclass(frozen=True, slots=True)
class Views:
    """The views of V videos through one embedder, as far as they are kept.

    Attributes:
        mean_VE: mean of the views' unit embeddings, not normalised.
        first_VE: unit embedding of the first view.
        last_VE: of the last one.
        count: views of a video.
    """

    mean_VE: Tensor
    first_VE: Tensor
    last_VE: Tensor
    count: int

    def pooled(self) -> Float32:
        """One unit vector (V, E) per video."""
        return functional.normalize(self.mean_VE, dim=1).cpu().numpy()


@torch.inference_mode()
def embed_videos(
    embedders: Mapping[str, nn.Module], memory: FrameTensors, settings: FitSettings, *, views: int
) -> dict[str, Views]:
    """Evenly spread windows of each video through every embedder: frames are read once, in blocks of bounded memory."""
    video_B, windows = spread_views(memory.extent_V(settings.unit), span=settings.span, views=views)
    size = _views_at_once(settings, memory.width, views)
    take = take_contexts if any(isinstance(of, ForecastEmbedder) for of in embedders.values()) else take_clips
    clips = (take(memory, video_B[rows], windows[rows], settings) for rows in blocks(len(video_B), size))
    parts: dict[str, list[tuple[Tensor, ...]]] = {name: [] for name in embedders}
    for part in memory.ahead(clips):
        for name, embedder in embedders.items():
            unit_VKE = functional.normalize(embedder(part), dim=1).view(len(part) // views, views, -1)
            parts[name].append((unit_VKE.mean(dim=1), unit_VKE[:, 0].clone(), unit_VKE[:, -1].clone()))
    made = {name: _joined(found, views) for name, found in parts.items()}
    if settings.video_pooling == "whole":
        pooled = Clips(pool_whole(memory, settings))
        return {name: replace(made[name], mean_VE=_unit(embedders[name], pooled)) for name in made}
    return made


def _unit(embedder: nn.Module, pooled: Clips) -> Tensor:
    parts = [embedder(Clips(pooled.features[rows])) for rows in blocks(len(pooled), BLOCK_VIDEOS)]
    return functional.normalize(torch.cat(parts), dim=1)


class FramesMean(nn.Module):
    """The mean of a clip's frames: an embedder that nothing has trained."""

    def forward(self, clips: Clips) -> Tensor:
        """The means (B, D) of clips; those that come as means already are passed on."""
        return clips.features if clips.times_s_BL is None else clips.features.mean(dim=1)


def embedder_of(forecaster: Forecaster, source: str, settings: FitSettings) -> nn.Module:
    """What embeds videos: the teacher (the paper's), the student, or the forecast at the mean gap."""
    match source:
        case "teacher":
            return forecaster.teacher
        case "student":
            return forecaster.student
        case _:
            return ForecastEmbedder(forecaster, (settings.gap_least + settings.gap_max) / 2)


def pool_views(views_VKE: Tensor) -> Float32:
    """One unit vector (V, E) per video: the mean of its views, normalised."""
    return functional.normalize(views_VKE.mean(dim=1), dim=1).cpu().numpy()


def mean_pool(memory: FrameTensors) -> Float32:
    """The mean of all frame features of each video as a unit vector (V, D): the baseline without training."""
    return functional.normalize(memory.mean_pool(), dim=1).cpu().numpy()


def sd_pool(memory: FrameTensors) -> Float32:
    """The standard deviation over all frame features of each video as a unit vector (V, D)."""
    return functional.normalize(memory.sd_pool(), dim=1).cpu().numpy()


def random_projection(embeddings_VD: Float32, width: int, seed: int) -> Float32:
    """Unit vectors (V, width) after a seeded Gaussian matrix: what a projection does without learning."""
    matrix_DE = np.random.default_rng(seed).standard_normal((embeddings_VD.shape[1], width), np.float32)
    return l2_normalize(embeddings_VD @ matrix_DE)


def _joined(parts: list[tuple[Tensor, ...]], views: int) -> Views:
    mean_VE, first_VE, last_VE = (torch.cat(blocks) for blocks in zip(*parts, strict=True))
    return Views(mean_VE, first_VE, last_VE, views)
