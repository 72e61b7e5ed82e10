"""Videos that have arrays of their own: one each, or several streams that are joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.errors import FeaturesError
from .arrays import TIME_LAST, Axes, Joined, Part, Table, find_axes
from .flat_arrays import selectable
from .options import Reading, shown
from .source import FPS, BroughtVideo, FeatureSource, check_ids, with_frames

WIDEST_STEP = 64  # widths of features are multiples of it, as a rule
LEAST_WIDTH = 256


@dataclass(frozen=True, slots=True)
class Timing:
    """When the frames of videos are, as far as it is said; frames of the others are :data:`.source.FPS` a second."""

    fps: float | None  # frames a second, as the command said
    # times (T,) of a video in seconds; None for a video that is not in ``timed``
    times: Callable[[BroughtVideo], NDArray[Any] | None] | None = None
    timed: frozenset[str] = frozenset()  # videos with times of their own
    rates: Mapping[str, float] = field(default_factory=dict)  # frames a second of videos that have a rate of their own


@dataclass(frozen=True, slots=True)
class SeparateArrays:
    """The arrays of each video."""

    path: Path  # of the file or the folder
    parts: Mapping[str, tuple[Part, ...]]  # of each video, as many arrays for each: its streams
    reading: Reading  # what they do not say themselves

    def source(
        self, timing: Timing, *, unused: tuple[str, ...] = (), notes: tuple[str, ...] = (), files: tuple[str, ...] = ()
    ) -> FeatureSource:
        """The features, their shapes checked against each other.

        Args:
            timing: when their frames are.
            unused: names that mean nothing here.
            notes: how the arrays were found.
            files: of a folder, those that were read.

        Raises:
            FeaturesError: naming the arrays that contradict each other.
        """
        check_ids(self.path, list(self.parts))
        axes = self._axes()
        frames = {video: self._frames(video, axes) for video in self.parts}
        videos, left_out = with_frames(self.path, [BroughtVideo(video, 0, frames[video]) for video in self.parts])
        width = self._width(videos, axes)
        return FeatureSource(
            self.path,
            videos,
            (sum(video.frames for video in videos), width),
            np.result_type(*(axes[part.what].dtype(part.dtype) for part in self.parts[videos[0].id])),
            timing.fps or (None if timing.timed or timing.rates else FPS),
            lambda video: self._table(video.id, axes),
            timing.times,
            "timestamps_ms",
            rates=timing.rates,
            unused=unused,
            notes=(*notes, *left_out, *self._doubt(videos, axes)),
            options=self.reading.arguments(),
            files=files,
        )

    def _axes(self) -> dict[str, Axes]:
        """Of each array by what it is called: streams may have axes of different kinds."""
        found: dict[str, Axes] = {}
        for stream in zip(*self.parts.values(), strict=True):
            full = [part for part in stream if not _without_frames(part, self.reading)]
            if full:
                found |= {part.what: axes for part, axes in zip(full, find_axes(full, self.reading), strict=True)}
        return found

    def _frames(self, video: str, axes: Mapping[str, Axes]) -> int:
        """Frames of a video, the same in all its streams."""
        parts = self.parts[video]
        counts = [axes[part.what].shape(part.shape)[0] if part.what in axes else 0 for part in parts]
        if len(set(counts)) > 1:
            other = next(place for place, count in enumerate(counts) if count != counts[0])
            raise FeaturesError(
                f"'{self.path}': the streams of '{shown(video)}' have different numbers of frames: "
                f"{parts[0].what} {counts[0]:,}, {parts[other].what} {counts[other]:,}. "
                "Make them anew, move the video away, or take one stream with --streams"
            )
        return counts[0]

    def _width(self, videos: Sequence[BroughtVideo], axes: Mapping[str, Axes]) -> int:
        """Of all streams together, the same in all videos."""
        total = 0
        for stream in zip(*(self.parts[video.id] for video in videos), strict=True):
            shapes = [axes[part.what].shape(part.shape) for part in stream]
            total += shapes[0][1]
            for part, shape in zip(stream, shapes, strict=True):
                if shape[1] != shapes[0][1]:
                    raise FeaturesError(
                        f"{part.what} has features of width {shape[1]}, but {stream[0].what} of "
                        f"{shapes[0][1]}: all have to come from one encoder{self._turned(shapes)}"
                    )
        return total

    def _turned(self, shapes: Sequence[tuple[int, int]]) -> str:
        """What to try where the frames are as many in all videos, but the widths are not."""
        if len({frames for frames, _ in shapes}) > 1:
            return ""
        if self.reading.time_last:
            return f". All have {shapes[0][0]} frames: if they are frames by features, leave `--axis time-last` away"
        return f". All have {shapes[0][0]} frames: {TIME_LAST}"

    def _doubt(self, videos: Sequence[BroughtVideo], axes: Mapping[str, Axes]) -> tuple[str, ...]:
        """A note where all arrays have one shape, which looks like features by frames."""
        shapes = {axes[part.what].shape(part.shape) for video in videos for part in self.parts[video.id]}
        frames, width = next(iter(shapes))
        odd = frames >= LEAST_WIDTH and frames % WIDEST_STEP == 0 and frames >= 2 * width
        if len(shapes) > 1 or len(videos) < 2 or not odd or self.reading.time_last:
            return ()
        return (f"every array is ({frames}, {width}), taken for {frames} frames of width {width}: {TIME_LAST}",)

    def _table(self, video: str, axes: Mapping[str, Axes]) -> Table:
        """The features of a video as (T, D)."""
        tables = []
        for part in self.parts[video]:
            seen = axes[part.what]
            tables.append(seen.seen(selectable(part.open(), by_rows=seen.time == 0)))
        return tables[0] if len(tables) == 1 else Joined(tables)


def joined(reading: Reading, streams: tuple[str, ...]) -> Reading:
    """The same with the streams that were found, so that they are asked for the next time."""
    return replace(reading, streams=streams) if all(streams) else reading


def _without_frames(part: Part, reading: Reading) -> bool:
    """Whether an array is of a video without frames: an empty list becomes (0,)."""
    if part.shape == (0,):
        return True
    return len(part.shape) >= 2 and part.shape[-1 if reading.time_last else 0] == 0 and part.dtype.kind == "f"
