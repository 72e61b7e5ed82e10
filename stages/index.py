"""Index: embeddings of all videos, a FAISS index over them, and the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..cache.atomic import published, write_json
from ..cache.checkpoint import save_checkpoint
from ..cache.store import FrameTable
from ..data.arrays import Float32
from ..data.errors import StageError
from ..data.progress import Progress
from ..data.settings import IndexSettings
from ..data.types import Split, Video
from .embed import embed_views, embedder_of, pool_views
from .evaluate import Evaluation, evaluate, gallery_mean
from .faiss_library import faiss
from .fit import load_forecaster
from .frame_memory import FrameMemory
from .retrieval import center

INDEX, EMBEDDINGS, VIDEOS, METRICS = "videos.faiss", "embeddings.safetensors", "videos.json", "metrics.json"


@dataclass(frozen=True, slots=True)
class IndexInputs:
    """V videos, their frames in the same order, the split, and the folder of the fit.

    ``provenance`` goes into the metrics and beside the index: which encoder and which fit they are of.
    """

    videos: tuple[Video, ...]
    table: FrameTable
    split: Split
    fit_folder: Path
    provenance: dict[str, Any]


def run(settings: IndexSettings, inputs: IndexInputs, folder: Path, *, progress: Progress) -> dict[str, Any]:
    """Embed, index and evaluate; publishes into ``folder`` and returns the metrics.

    Raises:
        StageError: if faiss is not installed.
        StoreError: if the fit's model cannot be read.
    """
    progress.start("index", len(inputs.videos), "videos")
    try:
        forecaster, fit = load_forecaster(inputs.fit_folder)
        memory = FrameMemory.of(inputs.table, torch.device("cpu"))
        views_VKE = embed_views(embedder_of(forecaster, settings.embed_from, fit), memory, fit, views=settings.views)
        evaluation = Evaluation(inputs.videos, memory, forecaster, fit, settings, inputs.split)
        mean_E = gallery_mean(pool_views(views_VKE), evaluation.rows("train"), wanted=settings.center)
        build(center(pool_views(views_VKE), mean_E), folder / INDEX)
        metrics = {**evaluate(evaluation, views_VKE), "provenance": inputs.provenance}
        _publish(folder, inputs, pool_views(views_VKE), mean_E, metrics)
        progress.advance(len(inputs.videos))
    finally:
        progress.finish()
    return metrics


def build(vectors_VE: Float32, path: Path) -> None:
    """Publish an exact inner-product index over unit vectors."""
    index = faiss().IndexFlatIP(vectors_VE.shape[1])
    index.add(np.ascontiguousarray(vectors_VE))
    with published(path) as temporary:
        faiss().write_index(index, str(temporary))


def _publish(
    folder: Path, inputs: IndexInputs, embeddings_VE: Float32, mean_E: Float32, metrics: dict[str, Any]
) -> None:
    if not np.isfinite(embeddings_VE).all():
        raise StageError("an embedding is not finite: run `mofore fit --force`")
    tensors = {"embeddings_VE": torch.from_numpy(embeddings_VE), "mean_E": torch.from_numpy(mean_E)}
    save_checkpoint(folder / EMBEDDINGS, tensors, inputs.provenance)
    rows = [
        {"id": video.id, "label": video.label, "group": video.group, "role": inputs.split.role(video.id)}
        for video in inputs.videos
    ]
    write_json(folder / VIDEOS, rows)
    write_json(folder / METRICS, metrics)
