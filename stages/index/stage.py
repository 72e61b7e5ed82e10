"""Index: embeddings of all videos in every space, FAISS indexes over them, and the metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...cache.atomic import write_json
from ...cache.store import FrameTable
from ...data.arrays import Float32
from ...data.errors import StageError
from ...data.progress import Progress
from ...data.settings import FitSettings, IndexSettings
from ...data.types import Split, Video
from ..evaluate.report import Evaluation, embedders, evaluate
from ..frames.memory import FrameTensors
from ..model.embedding import Views, embed_videos, mean_pool
from ..model.forecaster import Forecaster
from ..model.saved import load_forecaster
from ..model.spaces import Space, center_of, clip_items, open_space, refuse_other_features, video_items
from ..vectors.build import build, check
from ..vectors.cost import measure
from ..vectors.device import REMARKS, pick_place
from ..vectors.normalize import center
from ..vectors.update import find_previous, updated
from ..vectors.vector_index import PRICE, About, Items, VectorIndex, folder_name, outputs

METRICS, QUERIES = "metrics.json", "queries.json"


@dataclass(frozen=True, slots=True)
class IndexInputs:
    """V videos, their frames in the same order, the splits, and the folder of the fit.

    ``split`` is the settings'; ``others`` are further ones to measure on. ``provenance`` goes into the metrics and
    beside each index: which encoder and which fit they are of. ``previous`` is the folder of an earlier run, whose
    approximate indexes are updated where that is possible.
    """

    videos: tuple[Video, ...]
    table: FrameTable
    split: Split
    fit_folder: Path
    provenance: dict[str, Any]
    others: tuple[Split, ...] = ()
    previous: Path | None = None


def files(settings: IndexSettings) -> list[str]:
    """What :func:`run` publishes, relative to its folder."""
    return [METRICS, QUERIES, *outputs(settings.space_names(), settings.level_names())]


def run(settings: IndexSettings, inputs: IndexInputs, folder: Path, *, progress: Progress) -> dict[str, Any]:
    """Embed, index and evaluate; publishes into ``folder`` and returns the metrics.

    Raises:
        StageError: if faiss is not installed, or a space or a kind of index is not to be had.
        StoreError: if the fit's model cannot be read.
    """
    progress.start("index", len(inputs.videos), "videos")
    try:
        store_key = inputs.provenance["store"]
        spaces = [open_space(name, settings, inputs.fit_folder, store_key) for name in settings.space_names()]
        forecaster, fit = load_forecaster(inputs.fit_folder)
        memory = FrameTensors.of(inputs.table, torch.device("cpu"))
        for space in spaces:
            refuse_other_features(space, memory.width)
            check(settings, space.width or memory.width)
        progress.note(REMARKS[pick_place(settings.device)])
        embeddings, views = _embedded(settings, spaces, memory, forecaster, fit)
        for index, embeddings_NE, seconds in _indexes(settings, inputs, spaces, memory, embeddings):
            _publish(settings, index, embeddings_NE, seconds, folder)
        seen = {space.name: space.seen for space in spaces if space.name.startswith("fit:")}
        evaluation = Evaluation(inputs.videos, memory, forecaster, fit, settings, inputs.split, inputs.others, seen)
        evaluated = evaluate(evaluation, views, embeddings)
        write_json(folder / QUERIES, evaluated.queries)
        metrics = {**evaluated.metrics, "provenance": inputs.provenance}
        write_json(folder / METRICS, metrics)
        progress.advance(len(inputs.videos))
    finally:
        progress.finish()
    return metrics


def _embedded(
    settings: IndexSettings, spaces: list[Space], memory: FrameTensors, forecaster: Forecaster, fit: FitSettings
) -> tuple[dict[str, Float32], dict[str, Views]]:
    """Unit vectors (V, E) of every space, and the views that metrics are taken from; frames are read once for all."""
    networks = embedders(forecaster, fit, settings, memory.width)
    own = {space.name: space.embedder for space in spaces if space.embedder is not None and space.fit == fit}
    views = embed_videos({**own, **networks}, memory, fit, views=settings.views)
    vectors = {"frames": mean_pool(memory), "mofore": views["mofore"].pooled()}
    if not np.isfinite(vectors["mofore"]).all():
        raise StageError("an embedding is not finite: run `mofore fit --force`")
    vectors |= {name: views[name].pooled() for name in own}
    vectors |= {space.name: space.of_videos(memory) for space in spaces if space.name not in vectors}
    return vectors, {name: views[name] for name in networks}


def _indexes(
    settings: IndexSettings,
    inputs: IndexInputs,
    spaces: list[Space],
    memory: FrameTensors,
    embeddings: dict[str, Float32],
) -> Iterator[tuple[VectorIndex, Float32, float]]:
    """Every index with its embeddings and the seconds that it took, one after another."""
    for space in spaces:
        videos = video_items(inputs.videos, inputs.split)
        embeddings_VE = embeddings[space.name]
        mean_E = center_of(embeddings_VE, videos, wanted=settings.center)
        for level in settings.level_names():
            items, embeddings_NE = videos, embeddings_VE
            if level == "clip":
                items, video_B, windows = clip_items(inputs.videos, inputs.split, memory, space.fit, settings.clip_hop)
                embeddings_NE = space.of_clips(memory, video_B, windows)
            begin = time.perf_counter()
            index = _updated(settings, inputs, space, level, items, embeddings_NE)
            index = index or _built(settings, inputs, space, level, items, embeddings_NE, mean_E)
            yield index, embeddings_NE, time.perf_counter() - begin


def _updated(
    settings: IndexSettings, inputs: IndexInputs, space: Space, level: str, items: Items, embeddings_NE: Float32
) -> VectorIndex | None:
    """The index of the previous run with the videos of this one, if that can be had."""
    if inputs.previous is None:
        return None
    previous = find_previous(inputs.previous / folder_name(space.name, level), space.model, settings)
    index = None if previous is None else updated(previous, items, embeddings_NE, settings)
    return index and replace(index, about=replace(index.about, provenance=inputs.provenance))


def _built(
    settings: IndexSettings,
    inputs: IndexInputs,
    space: Space,
    level: str,
    items: Items,
    embeddings_NE: Float32,
    mean_E: Float32,
) -> VectorIndex:
    built = build(center(embeddings_NE, mean_E), settings, place=pick_place(settings.device))
    about = About(
        space.name, level, space.model, settings.kind, built.factory, built.search, built.why, inputs.provenance
    )
    return VectorIndex(built.index, items, mean_E, about, embeddings=embeddings_NE)


def _publish(settings: IndexSettings, index: VectorIndex, embeddings_NE: Float32, seconds: float, folder: Path) -> None:
    """Write an index's files, and what it costs when it is read from them."""
    own = folder / folder_name(index.about.space, index.about.level)
    index.save(own, embeddings_NE)
    price = measure(VectorIndex.load(own), own, seconds, place=pick_place(settings.device), seed=settings.seed)
    write_json(own / PRICE, asdict(price))
