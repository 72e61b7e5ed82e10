"""Batches of the clips that an objective draws: a round is a pure function of (fit.seed, its number)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..frames.memory import Clips
from ..frames.sampler import Sampler, mixed
from .contract import ClipBatch, Objective
from .draw import Draw, Drawn


@dataclass(frozen=True, slots=True)
class ClipSampler:
    """Draws the batches of a run; which videos share one is as for pairs."""

    videos: Sampler
    objective: Objective

    @property
    def step_s(self) -> float:
        """Seconds from one frame of a clip to the next, as they are on average."""
        settings, memory = self.videos.settings, self.videos.memory
        if settings.unit == "seconds":
            return settings.clip_stride
        return settings.clip_stride * float(memory.duration_V.sum() / memory.frames_V.sum())

    def batches(self, first: int, last: int) -> Iterator[ClipBatch]:
        """The batches of steps ``first`` to ``last``."""
        yield from self.videos.memory.ahead(self._gathered(first, last))

    def _gathered(self, first: int, last: int) -> Iterator[ClipBatch]:
        step, size = first, self.videos.contexts_per_batch
        while step < last:
            number, begin = divmod(step, self.videos.batches_per_round)
            count = min(self.videos.batches_per_round - begin, last - step)
            video_P, drawn = self._round(number)
            device = (
                self.videos.memory.device
            )  # where a round goes at once: copies of each step would wait for each other
            video_P, rows_PKL = video_P.to(device), drawn.rows_PKL.to(device)
            labels_P = {name: of_P.to(device) for name, of_P in drawn.labels.items()}
            for place in range(begin, begin + count):
                rows = slice(place * size, (place + 1) * size)
                labels = {name: of_P[rows] for name, of_P in labels_P.items()}
                yield self._batch(video_P[rows], rows_PKL[rows], labels, dense=self._is_dense(drawn.rows_PKL[rows]))
            step += count

    def _round(self, number: int) -> tuple[Tensor, Drawn]:
        videos = self.videos
        generator = torch.Generator().manual_seed(mixed(videos.settings.seed, number))
        video_P = videos.drawn_videos(generator)
        draw = Draw(videos.settings, videos.memory, video_P, generator, videos.gaps(number))
        return video_P, self.objective.draw(draw)

    def _is_dense(self, rows_BKL: Tensor) -> bool:
        """Whether each clip has every frame between its first and its last; asked of rows that no GPU has."""
        steps = rows_BKL.sort(dim=2).values.diff(dim=2)
        return self.videos.settings.dense and bool((steps <= 1).all())  # clips may be stretched

    def _batch(self, video_B: Tensor, rows_BKL: Tensor, labels: dict[str, Tensor], *, dense: bool) -> ClipBatch:
        memory = self.videos.memory
        number, rows_RL = rows_BKL.shape[1], rows_BKL.flatten(0, 1)
        if self.videos.means_wanted and not self.objective.sees_frames:
            rows_RL = rows_RL.sort(dim=1).values
            clips = memory.means(video_B.repeat_interleave(number), rows_RL, dense=dense)
            return ClipBatch(clips, number, video_B, labels)
        clips = memory.clips(rows_RL)
        assert clips.times_s_BL is not None
        times_s_RL = clips.times_s_BL
        if self.objective.true_times:
            times_s_RL = times_s_RL.sort(dim=1).values  # frames shown in another order are shown at the same times
            times_s_RL = times_s_RL - times_s_RL[:, :1]
        else:  # they would give the answer away
            times_s_RL = torch.arange(rows_RL.shape[1], device=memory.device).mul(self.step_s).expand_as(times_s_RL)
        return ClipBatch(Clips(clips.features, times_s_RL), number, video_B, labels)
