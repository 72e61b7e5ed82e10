"""The frames of a store, and clips of them by index arithmetic.

Sums of frames are taken in float64. A float16 is a multiple of 2^-24, so such a sum is exact while the magnitudes add
up to less than 2^29, in whatever order it is taken: a mean is the same to the bit from prefix sums and from the frames
themselves, in memory and from files, and what a run learns does not depend on how much memory there was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ...cache.store import FrameTable
from ...data.clips import Pairs, Windows, holds_pair, sample_positions, spread_pairs
from ...data.fit_settings import FitSettings
from .rows import FrameRows, Item
from .seen import Seen, seen_rows

SLACK_S = 0.002  # containers round times to their ticks, of 1/600 s at the coarsest
SUM_BYTES = 4 << 20  # of frames in float64 at a time: what a core's cache holds
GPU_SUM_BYTES = 256 << 20  # the same on a GPU, where launches count


@dataclass(frozen=True, slots=True)
class Clips:
    """What an embedder sees of B clips."""

    features: Tensor  # (B, L, D) float32; or (B, D), the clips' means, where the aggregator asks for no more
    times_s_BL: Tensor | None = None  # seconds from the first frame of each clip; None for means
    seen: Seen | None = None  # all that was seen of their videos by the end of each, where the predictor asks for it

    def __getitem__(self, index: slice) -> Clips:
        times_s_BL = None if self.times_s_BL is None else self.times_s_BL[index]
        return Clips(self.features[index], times_s_BL, None if self.seen is None else self.seen[index])

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, slots=True)
class RowWindows:
    """Of rows that are windows of frames: when they end, and how far they overlap, as far as the worst of a video."""

    ends_s_N: Tensor  # float64
    shared_rows_V: Tensor  # later windows that begin before one ends
    shared_s_V: Tensor  # seconds from the start of the next window to the end of one, 0 if it begins later

    @classmethod
    def of(cls, table: FrameTable) -> RowWindows:
        """Look at the times of all windows of a table."""
        assert table.ends_s_N is not None
        shared_rows, shared_s = [], []
        for begin, end in pairwise(table.offsets.tolist()):
            starts_s, ends_s = table.times_s_N[begin:end], table.ends_s_N[begin:end]
            later = np.searchsorted(starts_s, ends_s - SLACK_S) - np.arange(1, end - begin + 1)
            shared_rows.append(int(later.max(initial=0)))
            shared_s.append(float((ends_s[:-1] - starts_s[1:]).max(initial=0.0)))
        ends_s_N = torch.from_numpy(np.ascontiguousarray(table.ends_s_N))
        return cls(ends_s_N, torch.tensor(shared_rows), torch.tensor(shared_s, dtype=torch.float64))

    def to(self, device: torch.device) -> RowWindows:
        """The same on a device."""
        return RowWindows(self.ends_s_N.to(device), self.shared_rows_V.to(device), self.shared_s_V.to(device))

    def some(self, video_B: Tensor) -> RowWindows:
        """Of some of the videos, over the same rows."""
        return RowWindows(self.ends_s_N, self.shared_rows_V[video_B], self.shared_s_V[video_B])


@dataclass(frozen=True, slots=True)
class FrameTensors:
    """All frames of V videos; all but ``frames``, which may be left in files, is on one device."""

    frames: FrameRows  # their features
    times_s_N: Tensor  # presentation times, float64
    first_V: Tensor  # row of each video's first frame
    frames_V: Tensor  # frames of each video
    # seconds, the last frame's own time included; 0 for a video of one frame. Of windows, whose own time is the step to
    # the next, so that a clip in seconds sees what is shared (:meth:`shared_V`) behind its end
    duration_V: Tensor
    # of each frame its video's first row + time x frame rate: one ascending table in which a time of any video can be
    # looked up
    key_N: Tensor
    prefix_MD: Tensor | None = None  # sums of frames in float64, see :meth:`with_prefix_sums`; or None
    windows: RowWindows | None = None  # what is known of rows that are windows of frames; None where they are frames

    @classmethod
    def of(cls, table: FrameTable, device: torch.device) -> FrameTensors:
        """Move a table to ``device`` (on the CPU, without a copy of the features; those in files stay there)."""
        offsets = torch.from_numpy(table.offsets)
        first_V, frames_V = offsets[:-1], offsets.diff()
        times_s_N = torch.from_numpy(table.times_s_N)
        passed_N = times_s_N - times_s_N[first_V].repeat_interleave(frames_V)
        duration_V = passed_N[offsets[1:] - 1] * frames_V / (frames_V - 1).clamp(min=1)
        windows = None
        if table.ends_s_N is not None:
            windows = RowWindows.of(table)
            only_V = windows.ends_s_N[first_V] - times_s_N[first_V]
            duration_V = torch.where(frames_V > 1, duration_V, only_V)
            windows = windows.to(device)
        rate_V = torch.where(duration_V > 0, frames_V / duration_V.clamp(min=1e-9), 0.0)
        key_N = first_V.repeat_interleave(frames_V) + passed_N * rate_V.repeat_interleave(frames_V)
        return cls(
            FrameRows.of(table.features_ND, device),
            times_s_N.to(device),
            first_V.to(device),
            frames_V.to(device),
            duration_V.to(device),
            key_N.cummax(dim=0).values.to(device),
            windows=windows,
        )

    @property
    def device(self) -> torch.device:
        """Where the clips that are taken come to lie."""
        return self.frames.device

    @property
    def width(self) -> int:
        """D, numbers in a frame's feature."""
        return self.frames.width

    def some(self, video_B: Tensor) -> FrameTensors:
        """Some of the videos, over the same frames (without prefix sums)."""
        chosen = video_B.to(self.device)
        per_video = (self.first_V[chosen], self.frames_V[chosen], self.duration_V[chosen])
        windows = self.windows and self.windows.some(chosen)
        return FrameTensors(self.frames, self.times_s_N, *per_video, self.key_N, windows=windows)

    def extent_V(self, unit: str) -> Tensor:
        """How long each video is: frames (int64), or seconds (float64)."""
        return self.frames_V if unit == "frames" else self.duration_V

    def shared_V(self, unit: str) -> Tensor:
        """How much of what follows a clip it has seen already: rows (int64) or seconds (float64); 0 of frames.

        Windows may overlap: those that begin before a clip's last one ends share frames with it, and are neither gap
        nor future.
        """
        if self.windows is None:
            return torch.zeros_like(self.extent_V(unit))
        return self.windows.shared_rows_V if unit == "frames" else self.windows.shared_s_V

    def pair_extent_V(self, unit: str) -> Tensor:
        """What of each video there is for two clips and the gap between them."""
        return self.extent_V(unit) - self.shared_V(unit)

    def usable_V(self, gap_least: float, unit: str) -> Tensor:
        """Positions of the videos that can hold two clips with that gap between."""
        extent_V = self.pair_extent_V(unit)
        least = 1 if unit == "frames" else self.duration_V / self.frames_V.clamp(min=1)
        return torch.nonzero(holds_pair(extent_V, gap_least, least) & (self.frames_V > 1)).flatten()

    def rows(self, video_B: Tensor, windows: Windows, clip_length: int) -> Tensor:
        """Rows (B, L) of the clips' frames; at a time in seconds it is the frame that is shown then."""
        position_BL = sample_positions(windows, clip_length)
        first_B1 = self.first_V[video_B][:, None]
        if not position_BL.is_floating_point():
            return first_B1 + position_BL
        frames_B1, duration_B1 = self.frames_V[video_B][:, None], self.duration_V[video_B][:, None]
        rate_B1 = torch.where(duration_B1 > 0, frames_B1 / duration_B1.clamp(min=1e-9), 0.0)
        rows_BL = torch.searchsorted(self.key_N, first_B1 + (position_BL + SLACK_S) * rate_B1, right=True) - 1
        return rows_BL.maximum(first_B1).minimum(first_B1 + frames_B1 - 1)

    def seconds(self, video_B: Tensor, windows: Windows, clip_length: int) -> tuple[Tensor, Tensor]:
        """When the clips begin and end (B,), seconds from the first frame; a frame lasts to the next, as on average."""
        rows_BL = self.rows(video_B, windows, clip_length)
        first_B, frames_B = self.first_V[video_B], self.frames_V[video_B]
        begin_B = self.times_s_N[first_B]
        if self.windows is not None:
            return self.times_s_N[rows_BL[:, 0]] - begin_B, self.windows.ends_s_N[rows_BL[:, -1]] - begin_B
        frame_s_B = self.duration_V[video_B] / frames_B.clamp(min=1)
        return self.times_s_N[rows_BL[:, 0]] - begin_B, self.times_s_N[rows_BL[:, -1]] - begin_B + frame_s_B

    def clips(self, rows_BL: Tensor) -> Clips:
        """The frames in those rows, float32, with their times."""
        features = self._gathered(rows_BL).float()
        times_s_BL = self.times_s_N[rows_BL]
        return Clips(features, (times_s_BL - times_s_BL[:, :1]).float())

    def means(self, video_B: Tensor, rows_BL: Tensor, *, dense: bool) -> Clips:
        """The means (B, D) of the clips' frames, each frame counted once.

        Args:
            video_B: the clips' videos.
            rows_BL: their frames, ascending.
            dense: whether each clip has every frame between its first and its last.
        """
        if self.prefix_MD is not None and dense:
            first_B, last_B = rows_BL[:, 0], rows_BL[:, -1]
            sums_BD = self.prefix_MD.index_select(0, last_B + video_B + 1)
            sums_BD -= self.prefix_MD.index_select(0, first_B + video_B)
            count_B = last_B - first_B + 1
        else:
            new_BL = torch.ones_like(rows_BL, dtype=torch.bool)
            new_BL[:, 1:] = rows_BL[:, 1:] > rows_BL[:, :-1]
            sums_BD, count_B = _sums(self._gathered(rows_BL), new_BL), new_BL.sum(dim=1)
        return Clips(sums_BD.mul_(count_B.double().reciprocal()[:, None]).float())

    def seen(self, video_B: Tensor, context_BL: Tensor, settings: FitSettings) -> Seen:
        """What is seen by the end of contexts (rows): their own frames, and ``fit.history`` from before them."""
        rows_BT, weight_BT = seen_rows(self.first_V[video_B], context_BL, settings.history)
        when_BT = rows_BT if settings.unit == "frames" else self.times_s_N[rows_BT]
        return Seen(self._gathered(rows_BT).float(), (when_BT[:, -1:] - when_BT).float(), weight_BT)

    def ahead(self, clips: Iterator[Item]) -> Iterator[Item]:
        """The same, but where frames are in files, the next is always being read while one is in use."""
        return self.frames.ahead(clips)

    @property
    def prefix_shape(self) -> tuple[int, int]:
        """(M, D) of the sums: a row more than it has frames for each video."""
        return len(self.frames) + len(self.frames_V), self.width

    def with_prefix_sums(self) -> FrameTensors:
        """The same frames with sums, so that a clip's mean costs two rows instead of l.

        Row first_V[v] + v + i holds the sum of the first i frames of video v; sums begin anew with each video.
        """
        prefix_MD = torch.zeros(self.prefix_shape, dtype=torch.float64, device=self.device)
        self.sum_into(prefix_MD)
        return replace(self, prefix_MD=prefix_MD)

    def sum_into(self, prefix_MD: Tensor) -> None:
        """Fill zeros of :attr:`prefix_shape` with the sums."""
        for number, (first, frames) in enumerate(self._places()):
            rows_TD = prefix_MD[first + number + 1 : first + number + 1 + frames]
            torch.cumsum(self.frames.span(first, first + frames), dim=0, dtype=torch.float64, out=rows_TD)

    def mean_pool(self) -> Tensor:
        """The mean of all frames of each video (V, D), float32."""
        return self._pooled(lambda sum_D, _, frames: sum_D / frames)

    def sd_pool(self) -> Tensor:
        """The standard deviation over all frames of each video (V, D), float32; 0 of one frame."""
        return self._pooled(lambda sum_D, square_D, frames: _deviation(sum_D / frames, square_D / frames), squares=True)

    def _pooled(self, pool: Callable[[Tensor, Tensor, int], Tensor], *, squares: bool = False) -> Tensor:
        """What ``pool`` makes of each video's sum, sum of squares (if they are wanted) and number of frames (V, D)."""
        pooled_VD = torch.empty(len(self.frames_V), self.width, device=self.device)  # many small ones would scatter
        for video, (first, frames) in enumerate(self._places()):
            sum_D = torch.zeros(self.width, dtype=torch.float64, device=self.device)
            square_D = torch.zeros_like(sum_D)
            for _, part_TD in self._parts(first, frames):
                part_TD = part_TD.double()
                sum_D += part_TD.sum(dim=0)
                if squares:
                    square_D += part_TD.square().sum(dim=0)
            pooled_VD[video] = pool(sum_D, square_D, frames)
        return pooled_VD

    def unsound_frame(self) -> tuple[int, int] | None:
        """The first frame whose feature is not finite, as (video, frame); None if all are."""
        for video, (first, frames) in enumerate(self._places()):
            for begin, part_TD in self._parts(first, frames):
                finite_T = torch.isfinite(part_TD).all(dim=1)
                if not bool(finite_T.all()):
                    return video, begin - first + int(torch.nonzero(~finite_T)[0])
        return None

    def _gathered(self, rows_BL: Tensor) -> Tensor:
        """Those rows (B, L, D), float16."""
        return self.frames.take(rows_BL.flatten()).view(*rows_BL.shape, -1)

    def _places(self) -> Iterator[tuple[int, int]]:
        """First row and number of frames of each video."""
        return zip(self.first_V.tolist(), self.frames_V.tolist(), strict=True)

    def _parts(self, first: int, frames: int) -> Iterator[tuple[int, Tensor]]:
        """The frames of a video in parts of bounded size, each with its first row."""
        size = max(1, SUM_BYTES // (8 * self.width))
        for begin in range(first, first + frames, size):
            yield begin, self.frames.span(begin, min(begin + size, first + frames))


def evenly_spread(memory: FrameTensors, settings: FitSettings, *, gap: float, starts: int) -> tuple[Tensor, Pairs]:
    """:func:`...data.clips.spread_pairs` of the videos of ``memory``."""
    shared_V = memory.shared_V(settings.unit)
    return spread_pairs(memory.extent_V(settings.unit), span=settings.span, gap=gap, starts=starts, shared_B=shared_V)


def _deviation(mean_D: Tensor, mean_square_D: Tensor) -> Tensor:
    return (mean_square_D - mean_D.square()).clamp(min=0).sqrt()


def _sums(features_BLD: Tensor, wanted_BL: Tensor) -> Tensor:
    """Sums (B, D) in float64 of the wanted frames of each clip."""
    on_gpu = features_BLD.is_cuda  # there caches are of no use, and to ask what is wanted would wait for it
    size = (
        max(1, (GPU_SUM_BYTES if on_gpu else SUM_BYTES) // (8 * features_BLD[:1].numel())) if len(features_BLD) else 1
    )
    if not on_gpu and bool(wanted_BL.all()):
        return torch.cat([part.double().sum(dim=1) for part in features_BLD.split(size)])
    parts = zip(features_BLD.split(size), wanted_BL.double().split(size), strict=True)
    return torch.cat([torch.einsum("bl,bld->bd", wanted, part.double()) for part, wanted in parts])
