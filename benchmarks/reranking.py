"""What re-ranking by sequences does to retrieval.

python -m benchmarks.reranking WORK [WORK ...]

Each WORK is a finished work folder (of `mofore demo`, of UCF101 clips, of imported features): gallery, queries,
features, networks and centring are its own. Queries are ranked by the index's vectors, then the first 100 of each by
sequences: by looks (less the gallery's mean, as the vectors are), by changes (less the video's own mean), or both, the
changes beside the similarity.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mofore.cache.ledger import Ledger
from mofore.cache.store import FeatureStore
from mofore.pipeline.config import load_config
from mofore.pipeline.road import make_plan
from mofore.pipeline.snapshot import Snapshot, observe
from mofore.pipeline.workspace import Workspace
from mofore.stages.evaluate.ranking import average_precision
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.model.spaces import Space, open_space
from mofore.stages.search.rerank import METHODS, TOP, changes, rerank
from mofore.stages.search.sequences import sequences
from mofore.stages.vectors.vector_index import VectorIndex, folder_name

STEPS = (8, 16)
SPACES = ("frames", "mofore")
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Ranked:
    """A space of a work folder, and its queries' rankings."""

    index: VectorIndex
    space: Space
    memory: FrameTensors
    query_Q: Array
    gallery_N: Array
    similarity_QN: Array
    ranked_QN: Array

    def scores(self, ranked_QN: Array) -> tuple[float, float]:
        """R@1 and mAP, percent."""
        labels = np.array([video["label"] for video in self.index.items.videos])
        right_QN = labels[self.gallery_N][ranked_QN] == labels[self.query_Q][:, None]
        return 100 * float(right_QN[:, 0].mean()), 100 * float(average_precision(right_QN).mean())

    def reranked(self, steps: int, *, frame: bool) -> Iterator[tuple[str, tuple[float, float]]]:
        """Scores of each kind of sequence and each distance."""
        space = self.space if not frame else replace(self.space, fit=replace(self.space.fit, clip_length=1))
        found_VSE = sequences(space, self.memory, steps)
        centered_VSE = self.index.centered(found_VSE.reshape(-1, found_VSE.shape[-1])).reshape(found_VSE.shape)
        for by, made_VSE in (("looks", centered_VSE), ("changes", changes(found_VSE)), ("both", changes(found_VSE))):
            beside = np.take_along_axis(self.similarity_QN, self.ranked_QN, 1) if by == "both" else None
            for method in METHODS:
                queries_QSE, gallery_NSE = made_VSE[self.query_Q], made_VSE[self.gallery_N]
                ranked_QN, _ = rerank(queries_QSE, gallery_NSE, self.ranked_QN, method, similarity_QK=beside)
                yield f"{by}, {method}", self.scores(ranked_QN)


def open_folder(root: Path, name: str) -> Ranked:
    """A space of a work folder that is up to date."""
    workspace = Workspace.open(root)
    config = load_config(workspace.config)
    snapshot = observe(workspace, config, Ledger.open(workspace.ledger))
    plan = make_plan(snapshot)
    folder = workspace.stage("index", plan["index"].key) / folder_name(name, "video")
    space = open_space(name, config.index, workspace.stage("fit", plan["fit"].key), snapshot.store_key)
    index = VectorIndex.load(folder, model=space.model)
    vectors_VE = index.vectors(np.arange(len(index.items)))
    sides = {role: _rows(index, role) for role in ("test", "train")}
    similarity_QN = vectors_VE[sides["test"]] @ vectors_VE[sides["train"]].T
    ranked_QN = np.argsort(-similarity_QN, axis=1, kind="stable")
    return Ranked(index, space, _memory(snapshot, index), sides["test"], sides["train"], similarity_QN, ranked_QN)


def main() -> None:
    """Print a table for each folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    for root in parser.parse_args().folders:
        first = open_folder(root, SPACES[0])
        print(f"\n### {root.name}: {len(first.query_Q)} queries, {len(first.gallery_N)} in the gallery, top {TOP}\n")
        print("| space | order | R@1 | mAP |\n|---|---|---|---|")
        for name in SPACES:
            ranked = open_folder(root, name)
            _print(name, "vectors alone", ranked.scores(ranked.ranked_QN))
            for steps in STEPS:
                for length, frame in (("clips", False), ("frames", True)):
                    for what, scores in ranked.reranked(steps, frame=frame):
                        _print(name, f"{steps} {length}, {what}", scores)


def _print(space: str, order: str, scores: tuple[float, float]) -> None:
    print(f"| {space} | {order} | {scores[0]:.1f} | {scores[1]:.1f} |", flush=True)


def _rows(index: VectorIndex, role: str) -> Array:
    videos = index.items.videos
    return np.array([row for row, video in enumerate(videos) if video["role"] == role and video["label"]])


def _memory(snapshot: Snapshot, index: VectorIndex) -> FrameTensors:
    places = [snapshot.stored[str(video["id"])] for video in index.items.videos]
    store = FeatureStore(snapshot.workspace.store(snapshot.store_key))
    table = store.load([(place.shard, place.row, place.video) for place in places])
    return FrameTensors.of(table, torch.device("cpu"))


if __name__ == "__main__":
    main()
