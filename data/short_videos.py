"""Videos that are too short for the clips of a fit, and the settings that would suit nearly all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .fit_settings import FitSettings
from .wording import as_overrides

NEARLY_ALL = 0.95  # of the videos
STEPS_A_SECOND = 1000  # what suggested seconds are rounded down to


@dataclass(frozen=True, slots=True)
class ShortVideos:
    """Videos held against two clips with a gap between."""

    settings: FitSettings  # of the fit
    videos: int  # how many there are
    median: float  # of how long they are, in ``fit.unit``
    without_largest: int  # videos too short for the largest gap: its forecasts are not measured there
    without_smallest: int  # videos too short for the smallest one: their clips are cut short
    # names and values of settings of the fit with which the largest gap has room in nearly all; none of videos of a
    # single frame
    changes: dict[str, Any]
    suits: int  # in how many it then has

    @classmethod
    def of(cls, extents: Sequence[float], settings: FitSettings) -> ShortVideos:
        """Look at videos that are so long, in ``fit.unit``; at least one."""
        ordered = sorted(extents)
        changes = _changes(ordered, settings)
        return cls(
            settings,
            len(ordered),
            ordered[len(ordered) // 2],
            len(ordered) - _holding(ordered, settings, settings.gap_max),
            len(ordered) - _holding(ordered, settings, settings.gap_least),
            changes,
            _holding(ordered, changed := replace(settings, **changes), changed.gap_max) if changes else 0,
        )

    @property
    def few(self) -> bool:
        """Whether nearly all have room for the largest gap."""
        return self.without_largest <= (1 - NEARLY_ALL) * self.videos

    @property
    def advice(self) -> str:
        """Which settings would let how many hold the largest gap."""
        if not self.changes:
            return "no fit.clip_length is short enough for them"
        return f"{as_overrides('fit', self.changes)} would let {self.suits:,} of {self.videos:,}"

    def told(self, videos: str = "videos") -> str:
        """One line; ``videos`` is what they are called."""
        settings, unit = self.settings, self.settings.unit
        largest, smallest = (f"{2 * settings.span + gap:g}" for gap in (settings.gap_max, settings.gap_least))
        even = f", {self.without_smallest:,} not even with the smallest gap ({smallest})" if largest != smallest else ""
        return (
            f"{self.without_largest:,} of {self.videos:,} {videos} cannot hold two clips of {settings.span:g} {unit} "
            f"with the largest gap of {settings.gap_max:g} between ({largest}; the median video has {self.median:g})"
            f"{even}: there clips or gaps are cut short, and forecasts are not measured; {self.advice}"
        )


def _holding(extents: Sequence[float], settings: FitSettings, gap: float) -> int:
    """How many are long enough for two whole clips and a gap."""
    return sum(extent >= 2 * settings.span + gap for extent in extents)


def _changes(ordered: Sequence[float], settings: FitSettings) -> dict[str, Any]:
    """Clips and gaps in the proportion that they have, as long as nearly all of the videos allow."""
    room = ordered[int((1 - NEARLY_ALL) * len(ordered))]
    if room >= 2 * settings.span + settings.gap_max:
        return {}
    wanted = _in_seconds(room, settings) if settings.unit == "seconds" else _in_frames(ordered, int(room), settings)
    return {name: value for name, value in wanted.items() if value != getattr(settings, name)}


def _in_frames(ordered: Sequence[float], room: int, settings: FitSettings) -> dict[str, Any]:
    shortest = 2 if settings.inputs == "differenced" else 1
    if room < 2 * shortest:
        room = next((int(extent) for extent in ordered if extent >= 2 * shortest), 0)
        if not room:
            return {}
    low = min(int(settings.gap_min), room - 2 * shortest)
    stride = int(settings.clip_stride) if 2 * shortest * settings.clip_stride + low <= room else 1
    scaled = int(settings.clip_length * room / (2 * settings.span + settings.gap_max))
    length = min(max(scaled, shortest), (room - low) // (2 * stride))
    gap = min(int(settings.gap_max), room - 2 * length * stride)
    return {"clip_length": length, "clip_stride": float(stride), "gap_max": float(gap), "gap_min": float(low)}


def _in_seconds(room: float, settings: FitSettings) -> dict[str, Any]:
    scale = room / (2 * settings.span + settings.gap_max)
    stride = _down(settings.clip_stride * scale)
    gap = min(settings.gap_max, _down(room - 2 * settings.clip_length * stride))
    if stride <= 0 or gap < 0:
        return {}
    return {"clip_stride": stride, "gap_max": gap, "gap_min": min(settings.gap_min, gap)}


def _down(seconds: float) -> float:
    return math.floor(seconds * STEPS_A_SECOND) / STEPS_A_SECOND
