"""The metrics of a fit, each beside the trivial baselines that it must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.arrays import Float32, Int64
from ..data.settings import FitSettings, IndexSettings
from ..data.types import Split, Video
from .embed import embed_views, embedder_of, mean_pool, pool_views, random_projection
from .embedding_health import health
from .forecast_skill import climatology, forecast_metrics, neighbour_similarity
from .forecaster import Forecaster, make_forecaster
from .frame_memory import FrameMemory
from .retrieval import RANKS, center, retrieval_metrics
from .table2 import PAPER, different_pairs, distribution, named_pairs, same_class_pairs, similarity_rows

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that the metrics are taken from: V videos, their frames, the networks and the split."""

    videos: tuple[Video, ...]
    memory: FrameMemory
    forecaster: Forecaster
    fit: FitSettings
    settings: IndexSettings
    split: Split

    def rows(self, role: str) -> Int64:
        """Positions of the videos of one side of the split."""
        return np.array([row for row, video in enumerate(self.videos) if self.split.role(video.id) == role], np.int64)

    def side(self, rows: Int64) -> tuple[list[Video], FrameMemory]:
        """Some of the videos, and a view of the memory that holds them alone."""
        chosen = torch.from_numpy(rows)
        memory = self.memory
        return [self.videos[row] for row in rows], memory.some(chosen)


def gallery_mean(embeddings_VE: Float32, gallery: Int64, *, wanted: bool) -> Float32:
    """What is subtracted from every embedding: the gallery's mean, or zeros."""
    if wanted and len(gallery):
        return np.asarray(embeddings_VE[gallery].mean(axis=0), np.float32)
    return np.zeros(embeddings_VE.shape[1], np.float32)


def evaluate(evaluation: Evaluation, views_VKE: Tensor) -> dict[str, Any]:
    """The whole of ``metrics.json``; ``views_VKE`` are the unit embeddings of all views, of ``index.embed_from``."""
    gallery, queries = evaluation.rows("train"), evaluation.rows("test")
    embeddings = baselines(evaluation, views_VKE)
    return {
        "schema": SCHEMA,
        "retrieval": {name: _retrieval(evaluation, e, gallery, queries) for name, e in embeddings.items()},
        **_unlabelled(evaluation, views_VKE, embeddings, queries if len(queries) else gallery),
        "protocol": _protocol(evaluation, gallery, queries),
    }


def baselines(evaluation: Evaluation, views_VKE: Tensor) -> dict[str, Float32]:
    """Unit embeddings (V, E) to compare: the trained network's, and what costs no training."""
    fit, settings, memory = evaluation.fit, evaluation.settings, evaluation.memory
    untrained = make_forecaster(memory.width, fit).to(memory.device)
    untrained_VKE = embed_views(embedder_of(untrained, settings.embed_from, fit), memory, fit, views=settings.views)
    raw_VD = mean_pool(memory)
    return {
        "mofore": pool_views(views_VKE),
        "raw_mean_pool": raw_VD,
        "untrained": pool_views(untrained_VKE),
        "random_projection": random_projection(raw_VD, evaluation.forecaster.width, settings.seed),
    }


def _retrieval(evaluation: Evaluation, embeddings_VE: Float32, gallery: Int64, queries: Int64) -> dict[str, Any]:
    """Retrieval from test to training videos, of those that have a class."""
    labels = [video.label for video in evaluation.videos]
    gallery = gallery[[labels[row] is not None for row in gallery]] if len(gallery) else gallery
    queries = queries[[labels[row] is not None for row in queries]] if len(queries) else queries
    if not len(gallery) or not len(queries):
        empty: dict[str, Any] = {f"R@{k}": None for k in RANKS}
        return {**empty, "mAP": None, "queries": 0, "queries_without_a_match": len(queries)}
    moved_VE = center(embeddings_VE, gallery_mean(embeddings_VE, gallery, wanted=evaluation.settings.center))
    return retrieval_metrics(
        moved_VE[queries],
        moved_VE[gallery],
        [str(labels[row]) for row in queries],
        [str(labels[row]) for row in gallery],
    )


def _unlabelled(
    evaluation: Evaluation, views_VKE: Tensor, embeddings: dict[str, Float32], chosen: Int64
) -> dict[str, Any]:
    """Table 2, forecast and collapse, on the videos of the evaluation side."""
    settings = evaluation.settings
    videos, memory = evaluation.side(chosen)
    _, train_memory = evaluation.side(evaluation.rows("train"))
    climate_E = climatology(evaluation.forecaster, train_memory, evaluation.fit, settings.views)
    forecast = forecast_metrics(evaluation.forecaster, memory, evaluation.fit, climate_E)
    different_P2 = different_pairs(videos, settings.pairs, settings.seed)
    same_P2 = same_class_pairs(videos, settings.pairs, settings.seed)
    all_views_VKE = views_VKE.cpu().numpy()
    whole = forecast["all"]
    mse = {
        "mean": whole.get("mse"),
        "sd": whole.get("mse_sd"),
        "n": whole.get("n", 0),
        "paper": PAPER["forecast_mse"],
    }
    neighbours_B = neighbour_similarity(evaluation.forecaster, memory, evaluation.fit).cpu()
    return {
        "table2": {
            "forecast_mse": mse,
            **similarity_rows(all_views_VKE[chosen], embeddings["mofore"][chosen], same_P2, different_P2),
            "temporal_consistency": distribution(neighbours_B, PAPER["temporal_consistency"]),
            "named_pairs": named_pairs(evaluation.videos, all_views_VKE, embeddings["mofore"]),
        },
        "forecast": forecast,
        "collapse": {name: health(e[chosen], different_P2) for name, e in embeddings.items()},
    }


def _protocol(evaluation: Evaluation, gallery: Int64, queries: Int64) -> dict[str, Any]:
    settings = evaluation.settings
    return {
        "split": evaluation.split.name,
        "gallery": len(gallery),
        "queries": len(queries),
        "unassigned": len(evaluation.videos) - len(gallery) - len(queries),
        "classes": len({video.label for video in evaluation.videos if video.label is not None}),
        "similarity": "cosine",
        "centered": settings.center,
        "centered_with": "mean of the gallery" if settings.center else None,
        "views": settings.views,
        "exact": True,
        "unit_of_retrieval": "percent of queries",
        "embedding": f"{settings.embed_from}; mean of unit embeddings of evenly spread windows, unit length",
        "raw_mean_pool": "mean of all frame features, unit length",
        "evaluated_on": "queries" if len(queries) else "gallery",
        "pair_seed": settings.seed,
        "fit_seed": evaluation.fit.seed,
        "fit_videos": "gallery",
    }
