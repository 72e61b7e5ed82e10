"""Where the time of an extraction goes, and how much of the work is done."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ..decode.pool import PoolEvent, VideoFrames, VideoStarted


class Meter:
    """Counts frames, bytes and seconds.

    ``seconds`` has "decode" and "preprocess" (of all workers together), "wait" (for frames), "forward" and
    "write" (waiting for a shard to be published), the last three of this process.
    """

    def __init__(self, total_bytes: int) -> None:
        self.frames = 0
        self.seconds = dict.fromkeys(("decode", "preprocess", "wait", "forward", "write"), 0.0)
        self._total_bytes, self._done_bytes = max(total_bytes, 1), 0
        self._seen_bytes = self._expected = self._skipped = 0
        self._begun: float | None = None
        self._before = 0  # frames by then

    def begin(self) -> None:
        """The arithmetic is chosen: from here on the work goes at its own pace."""
        self._begun, self._before = time.perf_counter(), self.frames

    def working_s(self) -> float:
        """Seconds since then; 0 before."""
        return 0.0 if self._begun is None else time.perf_counter() - self._begun

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Add the time of the block to a part."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - begin

    def waiting(self, events: Iterable[PoolEvent]) -> Iterator[PoolEvent]:
        """Pass events on; the time until each comes is waiting."""
        source = iter(events)
        while True:
            with self.timing("wait"):
                event = next(source, None)
            if event is None:
                return
            yield event

    def started(self, event: VideoStarted) -> None:
        """A video began: what its container promises helps to forecast the rest."""
        self._seen_bytes += event.start.source.size
        self._expected += event.start.expected_frames
        self._skipped += event.start.skipped

    def decoded(self, event: VideoFrames) -> None:
        """A worker did some frames."""
        self.seconds["decode"] += event.decode_s
        self.seconds["preprocess"] += event.preprocess_s

    def finished(self, size: int) -> None:
        """A video of ``size`` bytes is done or has failed."""
        self._done_bytes += size

    def expected_frames(self) -> float:
        """Frames of the whole job, if the videos to come are like those that began; 0 if nothing is known."""
        return self._expected * max(self._total_bytes / max(self._seen_bytes, 1), 1.0)

    def frames_to_come(self) -> int:
        """Frames that are still to be encoded."""
        return max(int(self.expected_frames()) - self._skipped - self.frames, 0)

    def share(self) -> float:
        """Share of the work that is done, in [0, 1]: by frames where containers promise them, else by bytes."""
        by_bytes = self._done_bytes / self._total_bytes
        expected = self.expected_frames() - self._skipped
        return min(max(by_bytes, self.frames / expected if expected > 0 else 0.0), 1.0)

    def rate(self) -> float:
        """Frames per second by the clock: what a GPU's passes take, their launches do not tell."""
        return (self.frames - self._before) / max(self.working_s(), 1e-9)

    def bottleneck(self) -> str:
        """The part that takes most of this process's time; if that is waiting for frames, of the workers'."""
        most = max(("forward", "wait", "write"), key=lambda part: self.seconds[part])
        return most if most != "wait" else max(("decode", "preprocess"), key=lambda part: self.seconds[part])
