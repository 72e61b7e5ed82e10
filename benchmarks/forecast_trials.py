"""Forecasting trials on real cached features: one fit, and what came of it, with labels used afterwards alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from mofore.cache.shard import row_offsets
from mofore.cache.store import FeatureStore, FrameTable
from mofore.data.fit_settings import FitSettings
from mofore.data.progress import Silent
from mofore.stages.evaluate.embedding_health import effective_rank
from mofore.stages.evaluate.forecast_skill import References, climatology, forecast_metrics
from mofore.stages.evaluate.retrieval import retrieval_metrics
from mofore.stages.fit import stage as fit
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.model.embedding import embed_videos, embedder_of, mean_pool
from mofore.stages.model.forecaster import Forecaster
from mofore.stages.model.saved import load_forecaster
from mofore.stages.vectors.normalize import center

VIEWS = 6
SOURCES = ("teacher", "student", "predictor")


@dataclass(frozen=True)
class FeatureSet:
    """Frame features of videos with classes and groups, and who is trained on."""

    table: FrameTable
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    train_V: torch.Tensor
    test_V: torch.Tensor

    def training_table(self) -> FrameTable:
        """The training videos alone."""
        rows = [slice(self.table.offsets[v], self.table.offsets[v + 1]) for v in self.train_V.tolist()]
        lengths = [row.stop - row.start for row in rows]
        return FrameTable(
            np.concatenate([self.table.features_ND[row] for row in rows]),
            np.concatenate([self.table.times_s_N[row] for row in rows]),
            row_offsets(lengths),
            tuple(self.table.ids[v] for v in self.train_V.tolist()),
        )


def vgg_features(path: Path, split: int = 1) -> FeatureSet:
    """The 1,865 UCF101 videos of 14 classes, 25 evenly spaced frames each; official split by group."""
    with h5py.File(path) as file:
        features, lengths = file["features"][:], file["lengths"][:].tolist()
        ids = [name.decode() for name in file["ids"][:]]
    labels, groups = zip(*(_class_and_group(name) for name in ids), strict=True)
    tested = range(7 * split - 6, 7 * split + 1)
    test = torch.tensor([int(group[1:]) in tested for group in groups])
    times_s = np.concatenate([np.arange(length) / 3.0 for length in lengths])  # about 25 frames of 7 to 8 s
    table = FrameTable(features, times_s, row_offsets(lengths), tuple(ids))
    return FeatureSet(table, labels, groups, torch.nonzero(~test).flatten(), torch.nonzero(test).flatten())


def stored_features(folder: Path, split: int = 1) -> FeatureSet:
    """UCF101 videos of a store (``features/<encoder>`` of a work folder), every frame; official split by group."""
    store = FeatureStore(folder)
    records = [store.inspect(path) for path in store.shard_files()]
    wanted = [(record.name, row, video) for record in records for row, video in enumerate(record.videos)]
    table = store.load(sorted(wanted, key=lambda place: place[2].id))
    names = [Path(name).stem for name in table.ids]
    labels, groups = zip(*(_class_and_group(name) for name in names), strict=True)
    test = torch.tensor([7 * split - 6 <= int(group[1:]) <= 7 * split for group in groups])
    return FeatureSet(table, labels, groups, torch.nonzero(~test).flatten(), torch.nonzero(test).flatten())


def trial(data: FeatureSet, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Fit on the training videos, then retrieval from test to training videos and forecasts on the test videos."""
    settings = FitSettings(**changes)
    groups = [data.groups[v] for v in data.train_V.tolist()]
    with tempfile.TemporaryDirectory() as folder:
        made = fit.run(settings, data.training_table(), Path(folder), progress=Silent(), groups=groups)
        forecaster, settings = load_forecaster(Path(folder))
    memory = FrameTensors.of(data.table, torch.device("cpu"))
    found = {name: retrieval(data, embedding(forecaster, memory, settings, name)) for name in SOURCES}
    climate_E = climatology(forecaster, memory.some(data.train_V), settings, 1)
    forecast = forecast_metrics(forecaster, memory.some(data.test_V), settings, References(climate_E)).as_json()
    return {**found, "forecast": forecast, "kept_step": made.kept_step, "last": made.last}


def embedding(
    forecaster: Forecaster, memory: FrameTensors, settings: FitSettings, embed_from: str
) -> np.ndarray[Any, Any]:
    """One unit vector a video."""
    embedder = embedder_of(forecaster, embed_from, settings)
    return embed_videos({embed_from: embedder}, memory, settings, views=VIEWS)[embed_from].pooled()


def retrieval(data: FeatureSet, vectors_VE: np.ndarray[Any, Any]) -> dict[str, float | None]:
    """R@1, R@5, mAP (centred with the gallery's mean) and effective rank of the queries."""
    train, test = data.train_V.numpy(), data.test_V.numpy()
    moved = center(vectors_VE, vectors_VE[train].mean(axis=0))
    named = [data.labels[v] for v in test], [data.labels[v] for v in train]
    found = retrieval_metrics(moved[test], moved[train], *named)
    rank = effective_rank(vectors_VE[test] - vectors_VE[test].mean(axis=0))
    return {"R@1": found.r_at_1, "R@5": found.r_at_5, "mAP": found.mean_ap, "rank": rank}


def raw(data: FeatureSet) -> dict[str, float | None]:
    """Raw mean-pooled features: what costs no training."""
    return retrieval(data, mean_pool(FrameTensors.of(data.table, torch.device("cpu"))))


def _class_and_group(name: str) -> tuple[str, str]:
    _, label, group, _ = name.split("_")
    return label, group
