"""Small frame tables whose content a reader can compute."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from mofore.cache.ledger import StoredVideo
from mofore.cache.shard import VideoFeatures, row_offsets
from mofore.cache.store import FeatureStore, FrameTable
from mofore.data.progress import Silent
from mofore.data.types import FileState
from mofore.stages.frames.memory import FrameTensors


def table(lengths: list[int], width: int = 6, seed: int = 0) -> FrameTable:
    """Each video is its own direction plus a slow drift and a little noise."""
    rng = np.random.default_rng(seed)
    parts = []
    for length in lengths:
        base, drift = rng.standard_normal((2, width))
        steps = np.linspace(0, 1, length)[:, None]
        parts.append(base + steps * drift + 0.05 * rng.standard_normal((length, width)))
    features = np.concatenate(parts).astype(np.float16)
    times = np.concatenate([np.arange(length) / 25 for length in lengths])
    return FrameTable(features, times, row_offsets(lengths), tuple(f"v{n}" for n in range(len(lengths))))


def counting_memory(lengths: list[int]) -> FrameTensors:
    """Frame t of video v has the feature (v, t)."""
    rows = [(video, frame) for video, length in enumerate(lengths) for frame in range(length)]
    times = np.concatenate([np.arange(length) / 25 for length in lengths])
    made = FrameTable(np.array(rows, np.float16), times, row_offsets(lengths), tuple(map(str, lengths)))
    return FrameTensors.of(made, torch.device("cpu"))


def stored(folder: Path, made: FrameTable, shards: int = 3) -> tuple[FeatureStore, list[tuple[str, int, StoredVideo]]]:
    """The same videos in a store of several shards, and where each of them is."""
    store = FeatureStore(folder / "store")
    places: dict[str, tuple[str, int, StoredVideo]] = {}
    spans = [slice(begin, end) for begin, end in pairwise(made.offsets.tolist())]
    for shard in range(shards):
        videos = [
            VideoFeatures(name, FileState(1, 1, name), made.features_ND[span], made.times_s_N[span])
            for name, span in list(zip(made.ids, spans, strict=True))[shard::shards]
        ]
        record = store.publish(videos, {})
        places |= {video.id: (record.name, row, video) for row, video in enumerate(record.videos)}
    return store, [places[name] for name in made.ids]


class Listening(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)
