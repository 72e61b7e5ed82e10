"""The writing side of extraction: videos in the making, finished ones, failures; shards published beside the work."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.ledger import Ledger, Recorder, ShardRecord
from ...cache.partial import SPILL_BYTES, PartialVideo
from ...cache.shard import VideoFeatures
from ...cache.store import PUBLISH_BYTES, FeatureStore
from ...data.arrays import Float16, Float64
from ...data.errors import StageError, TooManyFailures
from ...data.settings import ExtractSettings
from ...data.types import Failure
from ...data.wording import counted
from ..decode.source import Started

TOLERATED_FAILURES = 10  # before `extract.max_failure_rate` is looked at
LOST_IN_A_ROW = 8  # videos out of reach one after another: the disk is lost, and so would be all that follow


@dataclass(slots=True)
class ExtractResult:
    """What was done."""

    done: set[str] = field(default_factory=set)  # ids of the videos that were stored
    frames: int = 0  # number of frames stored
    failures: list[Failure] = field(default_factory=list)  # videos that could not be read
    # of videos with damage that were stored all the same, what was damaged; by id
    damaged: dict[str, str] = field(default_factory=dict)
    encoder: dict[str, Any] = field(default_factory=dict)  # what pinned the store
    seconds: dict[str, float] = field(default_factory=dict)  # spent, by part
    row: str = "frame"  # what a row of features is of: a frame, or a window of them

    @property
    def videos(self) -> int:
        """Number of videos stored."""
        return len(self.done)

    def tried(self) -> set[str]:
        """Videos that were stored or failed."""
        return self.done | {failure.video_id for failure in self.failures}

    def summary(self, wall_s: float) -> str:
        """One line: how much, how fast, computed how, and where the time went."""
        arithmetic = [name for name in ("folded", "compiled") if self.encoder.get(name)]
        parts = [f"{part} {100 * spent_s / wall_s:.0f} %" for part, spent_s in self.seconds.items()]
        rate = self.frames / wall_s
        told = [
            f"{counted(self.videos, 'video')}, {counted(self.frames, self.row)}, "
            f"{rate:,.{0 if rate >= 10 else 1}f} {self.row}s/s",
            ", ".join(filter(None, [str(self.encoder.get("precision", "")), *arithmetic, self.encoder.get("engine")])),
            "of the time: " + ", ".join(parts),
        ]
        return "; ".join(filter(None, told))


class PendingVideo:
    """A video whose frames are on their way through the batches.

    Attributes:
        video_id: which.
        source: state of its file.
        frames: of which the features are known; of a clip backbone, windows.
        ended: whether all of its frames have been read.
    """

    def __init__(self, video_id: str, start: Started, partial_folder: Path) -> None:
        self.video_id, self.source, self.frames, self.ended = video_id, start.source, start.skipped, False
        self._expected = start.skipped
        self._begin = time.monotonic()
        self._times_s: list[float] = []
        self._ends_s: list[float] = []  # of windows
        self._features: list[Float16] = []
        self._bytes = 0
        self._partial = PartialVideo(partial_folder, video_id)
        self._on_disk = self._take_up(start.skipped)

    def expect(self, times_s: tuple[float, ...], ends_s: tuple[float, ...] = ()) -> None:
        """Frames with these times were read, or windows that begin then and have those ends."""
        self._times_s.extend(times_s)
        self._ends_s.extend(ends_s)
        self._expected += len(times_s)

    def add(self, features_TD: Float16) -> None:
        """The features of the next frames."""
        self._features.append(features_TD)
        self._bytes += features_TD.nbytes
        self.frames += len(features_TD)
        if self._bytes > SPILL_BYTES:
            self._spill()

    def is_whole(self) -> bool:
        """Whether nothing is missing any more."""
        return self.ended and self.frames == self._expected

    def is_empty(self) -> bool:
        """Whether it ended, and nothing came of it."""
        return self.ended and not self._expected

    def secure(self, after_s: float) -> None:
        """Commit what there is to disk, if the video has been going on for longer than ``after_s``."""
        if self._features and time.monotonic() - self._begin > after_s:
            self._spill()
            self._partial.commit(self.source.sha256)

    def result(self) -> VideoFeatures:
        """The whole video; of a long one, views of its file."""
        if self._on_disk:
            self._spill()
            features_TD, times_s_T, ends_s_T = self._partial.rows()
        else:
            features_TD, times_s_T = np.concatenate(self._features), np.array(self._times_s)
            ends_s_T = np.array(self._ends_s) if self._ends_s else None
        return VideoFeatures(self.video_id, self.source, features_TD, times_s_T, ends_s_T)

    def discard(self) -> None:
        """Delete what of it is on disk: it failed, or its shard is published."""
        self._partial.discard()

    def _take_up(self, skipped: int) -> bool:
        if not skipped:
            return False
        commit = self._partial.committed()
        if commit is None or commit.frames != skipped:
            raise StageError(
                f"the {skipped} frames of '{self.video_id}' that were passed over are not on disk: run again"
            )
        self._partial.go_on(commit)
        return True

    def _spill(self) -> None:
        """Move the features that are known from memory to disk."""
        if not self._on_disk:
            self._partial.begin()
            self._on_disk = True
        if not self._features:
            return
        features_TD = np.concatenate(self._features)
        times_s_T: Float64 = np.array(self._times_s[: len(features_TD)])
        ends_s_T = np.array(self._ends_s[: len(features_TD)]) if self._ends_s else None
        self._partial.append(features_TD, times_s_T, ends_s_T)
        del self._times_s[: len(features_TD)], self._ends_s[: len(features_TD)]
        self._features, self._bytes = [], 0


class ShardWriter:
    """Publishes finished videos at the latest every ``extract.shard_seconds``, in a thread of its own.

    Attributes:
        result: so far.
        provenance: of the encoder; every shard carries it.
        waited_s: seconds that the caller was kept waiting.
    """

    def __init__(self, store: FeatureStore, recorder: Recorder, settings: ExtractSettings) -> None:
        self.result = ExtractResult()
        self.provenance: dict[str, Any] = {}
        self.waited_s = 0.0
        self._store, self._recorder, self._settings = store, recorder, settings
        self._ready: list[VideoFeatures] = []
        self._whole: list[PendingVideo] = []
        self._bytes = 0
        self._since = time.monotonic()
        self._lost = 0  # videos in a row that were out of reach
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._publishing: Future[ShardRecord] | None = None
        self._being_published: list[PendingVideo] = []

    def add(self, pending: PendingVideo) -> None:
        """A video is whole."""
        video = pending.result()
        self._ready.append(video)
        self._whole.append(pending)
        self._bytes += video.features_TD.nbytes
        self._lost = 0
        self.result.done.add(video.id)
        self.result.frames += len(video.features_TD)

    def fail(self, failure: Failure) -> None:
        """A video could not be read.

        Raises:
            TooManyFailures: if that was one too many.
            StageError: if so many in a row were out of reach that their disk must be lost.
        """
        self._recorder.add_failure(self._store.key, failure)
        self.result.failures.append(failure)
        self._lost = self._lost + 1 if failure.passing else 0
        if self._lost >= LOST_IN_A_ROW:
            raise StageError(out_of_reach(self.result.failures[-LOST_IN_A_ROW:], " in a row"))
        failures = [each for each in self.result.failures if not (each.is_no_video or each.passing)]
        tried, limit = self.result.videos + len(failures), self._settings.max_failure_rate
        tolerated = TOLERATED_FAILURES if limit > 0 else 0
        if len(failures) > max(tolerated, limit * tried):
            raise TooManyFailures(
                f"{len(failures)} of the first {tried} videos could not be read, more than "
                f"extract.max_failure_rate = {limit:g} allows; what was extracted is kept\n{failure_table(failures)}"
            )

    def is_due(self) -> bool:
        """Whether :meth:`flush` should be called."""
        return time.monotonic() - self._since >= self._settings.shard_seconds or self._bytes >= PUBLISH_BYTES

    def flush(self, unfinished: Iterable[PendingVideo] = ()) -> None:
        """Begin to publish what is finished, and make safe what is ``unfinished`` but has taken long."""
        self._settle()
        for pending in unfinished:
            pending.secure(self._settings.shard_seconds)
        if self._ready:
            self._publishing = self._executor.submit(self._store.publish, self._ready, self.provenance)
            self._being_published = self._whole
        self._ready, self._whole, self._bytes, self._since = [], [], 0, time.monotonic()

    def close(self) -> None:
        """Publish the rest and wait for it."""
        try:
            self.flush()
            self._settle()
        finally:
            self._executor.shutdown()

    def _settle(self) -> None:
        """Wait for the shard that is being published, and tell the ledger of it."""
        if self._publishing is None:
            return
        begin = time.monotonic()
        publishing, self._publishing = self._publishing, None
        self._recorder.add_shard(publishing.result())
        for pending in self._being_published:
            pending.discard()
        self.waited_s += time.monotonic() - begin


def merge_small_shards(store: FeatureStore, ledger: Ledger) -> None:
    """Merge small shards into larger ones."""
    for merge in store.merge(ledger.shards.get(store.key, {}).values(), store.encoder() or {}):
        ledger.add_shard(merge.record)
        drop_shards(store, ledger, merge.replaced)


def drop_shards(store: FeatureStore, ledger: Ledger, names: tuple[str, ...]) -> None:
    """Delete shards that others replace."""
    ledger.drop_shards(store.key, names)
    store.delete(names)


def out_of_reach(failures: Sequence[Failure], how: str = "") -> str:
    """What to do about videos whose storage failed."""
    return (
        f"{counted(len(failures), 'video')}{how} {'were' if len(failures) > 1 else 'was'} out of reach, which says "
        "nothing of them: bring their disk, folder or access back (data.root says where it is), and run the same "
        f"command again, which goes on with them; what was extracted is kept\n{failure_table(list(failures))}"
    )


def damage_note(damaged: dict[str, str], most: int = 8) -> str:
    """One paragraph: which videos were stored with damaged frames, and how many of these each has."""
    told = [f"{video_id} ({what})" for video_id, what in sorted(damaged.items())[:most]]
    more = f"; and {len(damaged) - most:,} more" if len(damaged) > most else ""
    count = counted(len(damaged), "video")
    return f"{count} stored with damage, as extract.damaged = keep says: {'; '.join(told)}{more}"


def failure_table(failures: list[Failure], most: int = 8) -> str:
    """Reasons, the most frequent first, each with how often and one example."""
    counts = Counter(failure.reason for failure in failures)
    example = {failure.reason: failure.video_id for failure in reversed(failures)}
    rows = [f"  {count:6d}  {reason}  (for example {example[reason]})" for reason, count in counts.most_common(most)]
    rest = len(counts) - most
    return "\n".join(rows + ([f"  and {rest} further reasons"] if rest > 0 else []))
