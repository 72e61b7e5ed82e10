"""Search: the nearest videos of an index, of a video that is in it or of any file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..cache.fingerprint import stat_of
from ..cache.store import FrameTable, row_offsets
from ..data.arrays import Bool, Float16, Float32
from ..data.errors import UsageError, VideoError
from ..data.settings import ExtractSettings, IndexSettings
from ..data.types import Failure, Video
from .arithmetic import Arithmetic
from .device import pick_device
from .embed import embed_views, embedder_of, pool_views
from .encoders import load_encoder
from .fit import load_forecaster
from .frame_memory import FrameMemory
from .frame_source import Frames, Reading, read_video
from .vector_index import Items, VectorIndex


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One answer: its rank (from 1), video, class, and cosine to the query (centred as the index is)."""

    rank: int
    video_id: str
    label: str | None
    similarity: float


def find(items: Items, name: str) -> int | None:
    """Position of the video called ``name``: its id, or its file name with or without suffix.

    Raises:
        UsageError: if several videos in different folders have that name.
    """
    exact = [row for row, video in enumerate(items.videos) if video["id"] == name]
    rows = exact or [row for row, video in enumerate(items.videos) if name in _names(video["id"])]
    if len(rows) > 1:
        names = ", ".join(items.videos[row]["id"] for row in rows[:5])
        raise UsageError(f"{name!r} is the name of {len(rows)} videos ({names}): give one with its folder")
    return rows[0] if rows else None


def neighbours(index: VectorIndex, query_E: Float32, k: int, allowed_N: Bool | None = None) -> list[Neighbour]:
    """The ``k`` nearest of a centred unit vector."""
    similarity_1K, row_1K = index.search(query_E[None], k, allowed_N)
    return [
        Neighbour(rank, index.items.of(row)["id"], index.items.of(row)["label"], similarity)
        for rank, (similarity, row) in enumerate(zip(similarity_1K[0].tolist(), row_1K[0].tolist(), strict=True), 1)
    ]


def nearest_to_video(index: VectorIndex, video: int, k: int) -> list[Neighbour]:
    """The ``k`` nearest of a video of the index, itself left out."""
    rows = np.flatnonzero(index.items.video_N == video)
    return neighbours(index, index.vectors(rows)[0], k, index.items.video_N != video)


def embed_file(
    path: Path,
    settings: ExtractSettings,
    weights: Path | None,
    pinned: dict[str, Any],
    fit_folder: Path,
    index: IndexSettings,
) -> Float32:
    """Unit embedding (E,) of a video file, by the road that the indexed videos took.

    Args:
        path: the file.
        settings: of the extraction.
        weights: local weights of the backbone.
        pinned: what the store was made with; not compiled here, which would take longer than it saves.
        fit_folder: whose networks embed.
        index: which of them, and how many temporal views are averaged.

    Raises:
        VideoError: if the file cannot be read.
    """
    encoder = load_encoder(settings, weights, pick_device(settings.device))
    arithmetic = Arithmetic(pinned["precision"], pinned["folded"])
    size, mtime_ns = stat_of(path)
    reading = Reading(encoder.preprocess, settings.sampling(), settings.image_fps)
    pieces: list[Float16] = []
    times: list[float] = []
    for event in read_video(path, Video(str(path), None, None, size, mtime_ns), reading):
        if isinstance(event, Failure):
            raise VideoError(f"'{path}': {event.reason}")
        if isinstance(event, Frames):
            frames_BCHW = event.pixels.permute(0, 3, 1, 2)
            if not pieces:
                encoder = encoder.at(arithmetic, frames_BCHW)
            pieces.append(encoder.encode(frames_BCHW).half().numpy())
            times.extend(event.times_s)
    features_TD = np.concatenate(pieces)
    table = FrameTable(features_TD, np.array(times), row_offsets([len(features_TD)]), (str(path),))
    forecaster, fit = load_forecaster(fit_folder)
    memory = FrameMemory.of(table, torch.device("cpu"))
    views_VKE = embed_views(embedder_of(forecaster, index.embed_from, fit), memory, fit, views=index.views)
    return np.asarray(pool_views(views_VKE)[0])


def nearest_to_file(index: VectorIndex, embedding_E: Float32, k: int) -> list[Neighbour]:
    """The ``k`` nearest of an embedding that is not centred yet."""
    return neighbours(index, index.centered(embedding_E[None])[0], k)


def _names(video_id: str) -> Sequence[str]:
    name = video_id.rsplit("/", 1)[-1]
    return name, name.rsplit(".", 1)[0]
