"""Evaluate: what the embeddings of a fit are worth, each figure beside the trivial baselines that it must beat."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...cache.atomic import write_json
from ...cache.store import FrameTable
from ...data.arrays import Float32
from ...data.errors import StageError
from ...data.fit_settings import FitSettings
from ...data.index_settings import IndexSettings
from ...data.metrics import Metrics
from ...data.progress import Progress
from ...data.settings import EvaluateSettings
from ...data.types import Split, Video
from ..frames.memory import FrameTensors
from ..model.embedding import Views, embed_videos, mean_pool
from ..model.forecaster import Forecaster
from ..model.saved import load_forecaster
from ..model.spaces import Space, open_space, refuse_other_features
from .evaluation import Evaluation
from .mveb import check_scikit_learn
from .repeats import Repeats
from .report import PARTS, embedders, evaluate

METRICS, QUERIES = "metrics.json", "queries.json"
OUTPUTS = (METRICS, QUERIES)
EMBEDDING = "embedding"  # the part of the work that comes before those of the metrics


@dataclass(frozen=True, slots=True)
class EvaluateInputs:
    """What is measured.

    Attributes:
        videos: V of them.
        table: their frames, in the same order.
        split: the settings' own.
        others: further splits to measure on.
        fit_folder: of the fit.
        embedding: settings of the index, which say what is embedded, and how.
        provenance: which store and which fit the metrics are of; they say so.
        repeats: what other evaluations have found.
    """

    videos: tuple[Video, ...]
    table: FrameTable
    split: Split
    others: tuple[Split, ...]
    fit_folder: Path
    embedding: IndexSettings
    provenance: dict[str, Any]
    repeats: Repeats = field(default_factory=Repeats)


def run(
    settings: EvaluateSettings, inputs: EvaluateInputs, folder: Path, *, progress: Progress
) -> tuple[Metrics, dict[str, Float32]]:
    """Measure, and publish the metrics into ``folder``.

    Returns:
        The metrics, and unit embeddings (V, E) of every space, not centred, by the digest of the space's model.

    Raises:
        ConfigError: if scikit-learn is needed and not installed.
        StageError: if a space is not to be had.
        StoreError: if the fit's model cannot be read.
    """
    if settings.mveb:
        check_scikit_learn()
    progress.start("evaluate", len(inputs.videos), "videos")
    try:
        embedding, store_key = inputs.embedding, inputs.provenance["store"]
        spaces = [open_space(name, embedding, inputs.fit_folder, store_key) for name in embedding.space_names()]
        forecaster, fit = load_forecaster(inputs.fit_folder)
        memory = FrameTensors.of(inputs.table, torch.device("cpu"))
        for space in spaces:
            refuse_other_features(space, memory.width)
        _tell(progress, EMBEDDING)
        vectors, views = embedded(embedding, spaces, memory, forecaster, fit)
        seen = {space.name: space.seen for space in spaces if space.name.startswith("fit:")}
        evaluation = Evaluation(
            inputs.videos,
            memory,
            forecaster,
            fit,
            settings,
            embedding,
            inputs.split,
            inputs.others,
            seen,
            inputs.repeats,
        )
        evaluated = evaluate(evaluation, views, vectors, at=lambda part: _tell(progress, part))
        write_json(folder / QUERIES, evaluated.queries.as_json())
        metrics = replace(evaluated.metrics, provenance=inputs.provenance)
        write_json(folder / METRICS, metrics.as_json())
        progress.advance(len(inputs.videos))
    finally:
        progress.finish()
    return metrics, {space.model: vectors[space.name] for space in spaces}


def _tell(progress: Progress, part: str) -> None:
    """Which part of the work begins."""
    parts = (EMBEDDING, *PARTS)
    progress.pulse()
    progress.advance(0, parts.index(part) / len(parts), at=part)


def embedded(
    settings: IndexSettings, spaces: list[Space], memory: FrameTensors, forecaster: Forecaster, fit: FitSettings
) -> tuple[dict[str, Float32], dict[str, Views]]:
    """Unit vectors (V, E) of every space, and the views that metrics are taken from; frames are read once for all."""
    networks = embedders(forecaster, fit, settings)
    own = {space.name: space.embedder for space in spaces if space.embedder is not None and space.fit == fit}
    views = embed_videos({**own, **networks}, memory, fit, views=settings.views)
    vectors = {"frames": mean_pool(memory), "mofore": views["mofore"].pooled()}
    if not np.isfinite(vectors["mofore"]).all():
        raise StageError("an embedding is not finite: run `mofore fit --force`")
    vectors |= {name: views[name].pooled() for name in own}
    vectors |= {space.name: space.of_videos(memory) for space in spaces if space.name not in vectors}
    return vectors, {name: views[name] for name in networks}
