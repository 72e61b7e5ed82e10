"""Spaces: what turns a video, or a clip of it, into a vector; and the vectors of all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from ...cache.fingerprint import content_sha256, digest
from ...data.arrays import Float32
from ...data.clips import Windows, every_window
from ...data.errors import StageError
from ...data.fit_settings import FitSettings
from ...data.index_settings import IndexSettings
from ...data.types import Split, Video
from ..frames.memory import FrameTensors
from ..vectors.vector_index import Items
from .embedding import (
    FramesMean,
    clips_at_once,
    embed_clips,
    embed_videos,
    embedder_of,
    mean_pool,
    videos_at_once,
)
from .saved import MODEL, load_forecaster


@dataclass(frozen=True, slots=True)
class Space:
    """How vectors are made.

    Attributes:
        name: mofore, frames, predict or fit:KEY.
        model: digest of networks and settings that decide the vectors.
        fit: whose windows clips are.
        views: averaged for a video.
        embedder: of clips; None for the raw features.
        width: of a vector; None for that of the features.
        features: width of what its fit was made of.
        seen: of another fit, ids of the videos that it was trained on; None if that is not known.
    """

    name: str
    model: str
    fit: FitSettings
    views: int
    embedder: nn.Module | None
    width: int | None = None
    seen: frozenset[str] | None = None
    features: int | None = None

    def of_videos(self, memory: FrameTensors) -> Float32:
        """Unit vectors (V, E), not centred."""
        if self.embedder is None:
            return mean_pool(memory)
        return embed_videos({self.name: self.embedder}, memory, self.fit, views=self.views)[self.name].pooled()

    def videos_at_once(self, width: int) -> int:
        """Videos with features of that width that are embedded together: whoever shares them, shares by so many."""
        return 1 if self.embedder is None else videos_at_once(self.fit, width, self.views)

    def clips_at_once(self, width: int) -> int:
        """The same of clips."""
        return clips_at_once(self.fit, width)

    def of_clips(self, memory: FrameTensors, video_B: Tensor, windows: Windows) -> Float32:
        """Unit vectors (B, E) of clips, not centred."""
        embedder = self.embedder or FramesMean()
        means = self.embedder is None
        return np.asarray(embed_clips(embedder, memory, video_B, windows, self.fit, means=means).cpu().numpy())


def open_space(name: str, settings: IndexSettings, fit_folder: Path, store_key: str) -> Space:
    """A space by its name.

    Args:
        name: mofore, frames, predict or fit:KEY.
        settings: of the index.
        fit_folder: of the fit that belongs to the present settings; others lie beside it.
        store_key: of the features.

    Raises:
        StageError: if there is no such fit.
        StoreError: if its model cannot be read.
    """
    folder = fit_folder if not name.startswith("fit:") else fit_folder.parent / name.removeprefix("fit:")
    if not (folder / MODEL).exists():
        present = sorted(path.parent.name for path in fit_folder.parent.glob(f"*/{MODEL}"))
        have = ", ".join(present) or "none"
        raise StageError(f"index.spaces: there is no fit {folder.name!r} in this work folder; there are: {have}")
    forecaster, fit = load_forecaster(folder)
    if name == "frames":
        return Space(name, digest({"features": store_key}), fit, settings.views, embedder=None, width=None)
    source = {"mofore": settings.embed_from, "predict": "predictor"}.get(name, "teacher")
    parts = {"features": store_key, "fit": content_sha256(folder / MODEL), "from": source, "views": settings.views}
    embedder = embedder_of(forecaster, source, fit)
    seen = _read_by(folder) if name.startswith("fit:") else None
    return Space(name, digest(parts), fit, settings.views, embedder, forecaster.width, seen, forecaster.features)


def refuse_other_features(space: Space, width: int) -> None:
    """Another fit must be of features like these.

    Raises:
        StageError: if it was made of features of another width.
    """
    if space.features not in (None, width):
        raise StageError(
            f"index.spaces: {space.name} was fitted on features of width {space.features}, these have {width}: it is "
            "of another encoder"
        )


def _read_by(folder: Path) -> frozenset[str] | None:
    """Ids of the videos that a fit read."""
    try:
        return frozenset(json.loads((folder / "inputs.json").read_text())["videos"])
    except (OSError, ValueError, KeyError):
        return None


def video_items(videos: tuple[Video, ...], split: Split) -> Items:
    """One row for each video."""
    return Items(_rows(videos, split), np.arange(len(videos), dtype=np.int64))


def clip_items(
    videos: tuple[Video, ...], split: Split, memory: FrameTensors, fit: FitSettings, hop: float
) -> tuple[Items, Tensor, Windows]:
    """One row for each window, and the windows themselves; ``hop`` is in clips."""
    video_B, windows = every_window(memory.extent_V(fit.unit), span=fit.span, hop=hop * fit.span)
    start_s, end_s = memory.seconds(video_B, windows, fit.clip_length)
    items = Items(_rows(videos, split), video_B.cpu().numpy(), start_s.cpu().numpy(), end_s.cpu().numpy())
    return items, video_B, windows


def center_of(embeddings_NE: Float32, items: Items, *, wanted: bool) -> Float32:
    """What is subtracted from every embedding: the mean of the gallery's, or zeros."""
    gallery_V = np.array([row["role"] == "train" for row in items.videos], bool)
    in_gallery_N = gallery_V[items.video_N]
    if wanted and in_gallery_N.any():
        return np.asarray(embeddings_NE[in_gallery_N].mean(axis=0), np.float32)
    return np.zeros(embeddings_NE.shape[1], np.float32)


def _rows(videos: tuple[Video, ...], split: Split) -> tuple[dict[str, Any], ...]:
    """What is kept of each video; the user's name of its side, all of its classes and metadata where there are such."""
    return tuple(
        {
            "id": video.id,
            "label": ";".join(video.labels) or None,
            "group": video.group,
            "role": split.role(video.id),
            **({"side": side} if (side := split.side(video.id)) != split.role(video.id) else {}),
            **({"labels": list(video.labels)} if video.more_labels else {}),
            **({"metadata": dict(video.metadata)} if video.metadata else {}),
        }
        for video in videos
    )
