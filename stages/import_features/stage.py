"""Import: features that were made elsewhere -> shards of the feature store.

Everything is read twice, in blocks: once to check it, before anything is written, and once to store what is new.
The store's float16 must keep what is given: a value that it cannot hold, or a frame that it would change by more than
a hundredth, is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...cache.imported import ImportedVideo
from ...cache.ledger import Recorder
from ...cache.partial import SPILL_BYTES, PartialVideo, remove_partial_videos
from ...cache.shard import VideoFeatures, features_digest
from ...cache.store import PUBLISH_BYTES, FeatureStore
from ...data.arrays import Float16
from ...data.errors import FeaturesError
from ...data.progress import Progress, under_way
from .source import BroughtVideo, FeatureSource

LARGEST = float(np.finfo(np.float16).max)
MOST_LOST = 0.01  # of the length of a frame's feature, by rounding to float16


def check(source: FeatureSource, progress: Progress) -> tuple[ImportedVideo, ...]:
    """Read everything once; returns the videos, sorted by id, with the digests that they are stored under.

    Raises:
        FeaturesError: naming the video and the frame whose feature is not finite, or is not for float16.
    """
    with under_way(progress, "check", len(source.videos), "videos"):
        checked = tuple(sorted(_checked(source, progress), key=lambda video: video.id))
        doubts = [doubt for video in source.videos if (doubt := source.doubt(video))]
        if doubts:
            more = f" (and {len(doubts) - 1:,} more videos)" if len(doubts) > 1 else ""
            progress.note(doubts[0] + more)
        return checked


def publish(
    source: FeatureSource,
    videos: Collection[ImportedVideo],
    *,
    store: FeatureStore,
    recorder: Recorder,
    provenance: dict[str, Any],
    progress: Progress,
) -> None:
    """Store some of the videos of a source, as :func:`check` returned them.

    Raises:
        FeaturesError: if the source is no longer what it was when it was checked.
    """
    wanted = {video.id: video for video in videos}
    progress.start("import", len(wanted), "videos")
    try:
        for batch in _batches(source, wanted):
            stored = [_features(source, video, wanted[video.id], store) for video in batch]
            if any(video.digest() != wanted[video.id].digest for video in stored):
                raise FeaturesError(f"'{source.path}' changed while it was read: run the same command again")
            recorder.add_shard(store.publish(stored, provenance))
            progress.advance(len(batch))
    finally:
        progress.finish()
        remove_partial_videos(store.partial_folder)


def _checked(source: FeatureSource, progress: Progress) -> Iterator[ImportedVideo]:
    for video in source.videos:
        progress.pulse()
        content = features_digest(_halves(source, video), source.times_s(video))
        yield ImportedVideo(video.id, video.label, video.group, video.frames, content)
        progress.advance(1)


def _batches(source: FeatureSource, wanted: Collection[str]) -> Iterator[list[BroughtVideo]]:
    """The wanted videos by shard, each of at most ``PUBLISH_BYTES``, or of one video."""
    batch: list[BroughtVideo] = []
    size = 0
    for video in source.videos:
        if video.id not in wanted:
            continue
        if batch and size + _bytes(source, video) > PUBLISH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(video)
        size += _bytes(source, video)
    if batch:
        yield batch


def _bytes(source: FeatureSource, video: BroughtVideo) -> int:
    return 2 * source.shape[1] * video.frames


def _features(source: FeatureSource, video: BroughtVideo, record: ImportedVideo, store: FeatureStore) -> VideoFeatures:
    """The features of one video; of a long one, views of a file."""
    times_s_T = source.times_s(video)
    if _bytes(source, video) <= SPILL_BYTES:
        return VideoFeatures(video.id, record.source(), np.concatenate(list(_halves(source, video))), times_s_T)
    rows, partial = 0, PartialVideo(store.partial_folder, video.id)
    partial.begin()
    for block_TD in _halves(source, video):
        partial.append(block_TD, times_s_T[rows : rows + len(block_TD)])
        rows += len(block_TD)
    return VideoFeatures(video.id, record.source(), *partial.rows())


def _halves(source: FeatureSource, video: BroughtVideo) -> Iterator[Float16]:
    """The features of a video as they are stored, some frames at a time."""
    first = 0
    for block_TD in source.blocks(video):
        yield half(block_TD, f"'{source.path}': '{video.id}'", first)
        first += len(block_TD)


def half(features_TD: NDArray[Any], what: str, first: int = 0) -> Float16:
    """Features (T, D) as float16.

    Args:
        features_TD: of any float type.
        what: they are of, for a complaint.
        first: number of the first of these frames, likewise.

    Raises:
        FeaturesError: if one is not finite, beyond float16's range, or so small that rounding would change it.
    """
    where = f"{what}, frame"
    _refuse(~np.isfinite(features_TD), features_TD, (where, first), "leave the video out, or mend it")
    with np.errstate(over="ignore"):
        half_TD = features_TD.astype(np.float16)
    _refuse(~np.isfinite(half_TD), features_TD, (where, first), f"beyond float16's {LARGEST:g}: {_SCALE}")
    if features_TD.dtype.itemsize > half_TD.dtype.itemsize:
        exact_TD = features_TD.astype(np.float64)
        lost_T = np.linalg.norm(half_TD - exact_TD, axis=1) > MOST_LOST * np.linalg.norm(exact_TD, axis=1)
        largest_T = np.abs(exact_TD).max(axis=1)
        complaint = f"and none is larger, too small for float16: {_SCALE}"
        _refuse(lost_T[:, None], largest_T[:, None], (where, first), complaint)
    return half_TD


_SCALE = "multiply all features by one factor, which leaves every cosine as it is"


def _refuse(bad_TD: NDArray[Any], values_TD: NDArray[Any], where: tuple[str, int], complaint: str) -> None:
    """Complain of the first bad entry, if there is one; ``where`` names the video and the number of the first frame."""
    for frame, place in np.argwhere(bad_TD)[:1]:
        value = values_TD[frame, place]
        raise FeaturesError(f"{where[0]} {where[1] + frame}: a feature is {value:g}, {complaint}")
