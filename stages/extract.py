"""Extract: the features of every frame of every video, in shards of the feature store.

Batches are filled across videos, so that short clips cost no more than long ones, and always have the same
size (the last one is padded): a frame then goes through the same arithmetic whatever its neighbours are.
Finished videos are published at the latest every `extract.shard_seconds`, which is what a kill can cost.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cache.ledger import Ledger
from ..cache.store import FeatureStore, VideoFeatures
from ..data.arrays import Float16
from ..data.errors import StageError, TooManyFailures
from ..data.progress import Progress
from ..data.settings import ExtractSettings
from ..data.types import Failure, FileState, Video
from .device import pick_device
from .encoders import Encoder, choose_precision, load_encoder
from .frame_source import Finished, Frames, FrameSource

TOLERATED_FAILURES = 10  # before `extract.max_failure_rate` is looked at
PUBLISH_BYTES = 256 << 20  # a shard is published before it outgrows this


@dataclass(frozen=True, slots=True)
class ExtractInputs:
    """What to extract.

    Attributes:
        root: folder of the videos.
        videos: to extract.
        weights: file of local weights, if any.
        superseded: names of shards that ``videos`` replaces; they go once every one of these is made anew.
    """

    root: Path
    videos: tuple[Video, ...]
    weights: Path | None
    superseded: tuple[str, ...] = ()


@dataclass(slots=True)
class ExtractResult:
    """What was done: videos and frames stored, and the videos that could not be read."""

    videos: int = 0
    frames: int = 0
    failures: list[Failure] = field(default_factory=list)
    encoder: dict[str, Any] = field(default_factory=dict)


def run(
    settings: ExtractSettings, inputs: ExtractInputs, *, store: FeatureStore, ledger: Ledger, progress: Progress
) -> ExtractResult:
    """Extract ``inputs.videos`` into ``store``.

    Raises:
        BackboneError: if the backbone or its weights cannot be used.
        TooManyFailures: if more videos fail than ``extract.max_failure_rate`` allows.
        StageError: if none of the videos could be read.
    """
    encoder = load_encoder(settings, inputs.weights, pick_device(settings.device))
    check_same_weights(store, encoder)
    writer = _Writer(store, ledger, settings, progress)
    progress.start("extract", len(inputs.videos), "videos")
    try:
        with FrameSource(inputs.root, inputs.videos, encoder.preprocess) as source:
            _Extraction(encoder, settings, store, writer).consume(iter(source))
    finally:  # also on Ctrl-C: what is finished is kept
        writer.flush()
        progress.finish()
    if writer.result.failures and not ledger.shards.get(store.key):
        raise StageError(f"none of {len(inputs.videos)} videos could be read\n{failure_table(writer.result.failures)}")
    if not writer.result.failures:
        writer.drop(inputs.superseded)  # before merging, which would keep either copy
    writer.merge()
    return writer.result


def check_same_weights(store: FeatureStore, encoder: Encoder) -> None:
    """Refuse to add to a store what another version of the weights would give (a hub may replace them).

    Raises:
        StageError: if the store was begun with other weights.
    """
    pinned = store.encoder()
    if pinned and pinned["weights_sha256"] != encoder.provenance["weights_sha256"]:
        raise StageError(
            f"the weights of {encoder.provenance['backbone']} are not those that '{store.folder}' was begun with: "
            "give the old ones with --weights, or move that folder away to extract everything with the new ones"
        )


def failure_table(failures: list[Failure], most: int = 8) -> str:
    """Reasons, the most frequent first, each with how often and one example."""
    counts = Counter(failure.reason for failure in failures)
    example = {failure.reason: failure.video_id for failure in reversed(failures)}
    rows = [f"  {count:6d}  {reason}  (for example {example[reason]})" for reason, count in counts.most_common(most)]
    rest = len(counts) - most
    return "\n".join(rows + ([f"  and {rest} further reasons"] if rest > 0 else []))


@dataclass(slots=True)
class _Pending:
    """A video whose frames are on their way through the batches."""

    times_s: list[float] = field(default_factory=list)
    features: list[Float16] = field(default_factory=list)
    done: int = 0
    source: FileState | None = None


class _Writer:
    """Collects finished videos and failures; publishes shards and tells the ledger."""

    def __init__(self, store: FeatureStore, ledger: Ledger, settings: ExtractSettings, progress: Progress) -> None:
        self.result = ExtractResult()
        self.provenance: dict[str, Any] = {}
        self._store, self._ledger, self._settings, self._progress = store, ledger, settings, progress
        self._ready: list[VideoFeatures] = []
        self._bytes = 0
        self._since = time.monotonic()

    def pulse(self) -> None:
        self._progress.pulse()

    def add(self, video: VideoFeatures) -> None:
        self._ready.append(video)
        self._bytes += video.features_TD.nbytes
        self.result.videos += 1
        self.result.frames += len(video.features_TD)
        self._progress.advance(1, frames=self.result.frames, failed=len(self.result.failures))
        if time.monotonic() - self._since >= self._settings.shard_seconds or self._bytes >= PUBLISH_BYTES:
            self.flush()

    def fail(self, failure: Failure) -> None:
        self._ledger.add_failure(self._store.key, failure)
        failures = self.result.failures
        failures.append(failure)
        self._progress.advance(1, frames=self.result.frames, failed=len(failures))
        tried, limit = self.result.videos + len(failures), self._settings.max_failure_rate
        tolerated = TOLERATED_FAILURES if limit > 0 else 0
        if len(failures) > max(tolerated, limit * tried):
            raise TooManyFailures(
                f"{len(failures)} of the first {tried} videos could not be read, more than "
                f"extract.max_failure_rate = {limit:g} allows; what was extracted is kept\n{failure_table(failures)}"
            )

    def flush(self) -> None:
        if self._ready:
            self._ledger.add_shard(self._store.publish(self._ready, self.provenance))
        self._ready, self._bytes, self._since = [], 0, time.monotonic()

    def merge(self) -> None:
        records = self._ledger.shards.get(self._store.key, {}).values()
        for merge in self._store.merge(records, self.provenance):
            self._ledger.add_shard(merge.record)
            self.drop(merge.replaced)

    def drop(self, names: tuple[str, ...]) -> None:
        self._ledger.drop_shards(self._store.key, names)
        self._store.delete(names)


class _Extraction:
    """Turns the events of a frame source into features, batch by batch."""

    def __init__(self, encoder: Encoder, settings: ExtractSettings, store: FeatureStore, writer: _Writer) -> None:
        self._encoder, self._settings, self._store, self._writer = encoder, settings, store, writer
        self._settled = False
        self._videos: dict[str, _Pending] = {}
        self._batch = torch.zeros((settings.batch_size, 3, *encoder.preprocess.size), dtype=torch.uint8).contiguous(
            memory_format=torch.channels_last
        )
        self._owners: list[tuple[str, int]] = []  # (video, frames) of the batch's filled rows, in order
        self._filled = 0

    def consume(self, events: Iterator[Frames | Finished | Failure]) -> None:
        """Take every event; when it returns, each video has been handed to the writer or failed."""
        for event in events:
            self._writer.pulse()
            match event:
                case Frames():
                    self._videos.setdefault(event.video_id, _Pending()).times_s.extend(event.times_s)
                    self._fill(event.video_id, event.frames_BCHW)
                case Finished():
                    self._videos[event.video_id].source = event.source
                    self._release(event.video_id)
                case Failure():
                    self._videos.pop(event.video_id, None)
                    self._writer.fail(event)
        if self._filled:
            self._forward()

    def _fill(self, video_id: str, frames_BCHW: Tensor) -> None:
        while len(frames_BCHW):
            room = min(len(frames_BCHW), len(self._batch) - self._filled)
            self._batch[self._filled : self._filled + room] = frames_BCHW[:room]
            self._owners.append((video_id, room))
            self._filled += room
            frames_BCHW = frames_BCHW[room:]
            if self._filled == len(self._batch):
                self._forward()

    def _forward(self) -> None:
        if not self._settled:
            self._settle()
        features_BD = self._encoder.encode(self._batch).half().numpy()
        row, owners = 0, self._owners
        self._owners, self._filled = [], 0
        for video_id, count in owners:
            self._receive(video_id, features_BD[row : row + count])
            row += count

    def _receive(self, video_id: str, features_BD: Float16) -> None:
        pending = self._videos.get(video_id)
        if pending is not None:  # a video that failed meanwhile is forgotten
            pending.features.append(features_BD.copy())
            pending.done += len(features_BD)
            self._release(video_id)

    def _release(self, video_id: str) -> None:
        """Hand a video on once it ended and all of its frames came back."""
        pending = self._videos[video_id]
        if pending.source is None or pending.done < len(pending.times_s):
            return
        del self._videos[video_id]
        features_TD = np.concatenate(pending.features)
        finite_T = np.isfinite(features_TD).all(axis=1)
        if not finite_T.all():
            reason = f"the feature of frame {int(np.argmin(finite_T))} is not finite in float16"
            self._writer.fail(Failure(video_id, pending.source, reason))
            return
        self._writer.add(VideoFeatures(video_id, pending.source, features_TD, np.array(pending.times_s)))

    def _settle(self) -> None:
        """Take the precision that the store was begun with, or choose and pin it."""
        pinned = self._store.encoder()
        asked = pinned["precision"] if pinned else self._settings.precision
        frames_BCHW = self._batch[: self._filled]
        if pinned and asked == "bf16":
            self._encoder = self._encoder.at("bf16")
        elif not pinned:
            self._encoder, chosen = choose_precision(self._encoder, asked, self._settings.parity_floor, frames_BCHW)
            pinned = {**self._encoder.provenance, **chosen}
            self._store.pin_encoder(pinned)
        self._writer.provenance = self._writer.result.encoder = pinned or {}
        self._settled = True
