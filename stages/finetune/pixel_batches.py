"""Batches of clips as pixels, decoded ahead: the pairs of :mod:`..frames.sampler`, with frames where that has features.

Which frames a step sees follows from the frames' numbers and times in the store, by the same arithmetic as in a
fit; worker processes (:mod:`..decode.pool`) bring their pixels. A video that cannot be read is left out of its batch,
and of every later one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from ...data.cores import usable_cores
from ...data.errors import TooManyFailures
from ...data.planes import PlaneLayout
from ...data.types import Video
from ..decode import pool as decoding
from ..decode.device_preprocess import FromPlanes
from ..decode.source import Reading
from ..decode.wanted import WantedFrames, read_wanted
from ..decode.worker import Reader
from ..frames.sampler import Sampler

STALL_S = 60.0  # without a frame, a worker is taken for stuck
FEW_FAILURES, FAILURE_RATE = 10, 0.1  # more than both, and something else is wrong

Frames = dict[int, Tensor]  # position in the video -> uint8 (C, H, W), on the device


@dataclass(frozen=True, slots=True)
class PixelClips:
    """B clips of L frames."""

    frames_FCHW: Tensor  # the F different frames, uint8, on the device
    place_BL: Tensor  # which of them each clip holds
    rows_BL: Tensor  # their rows in the store
    times_s_BL: Tensor  # seconds from the first frame of each clip, float32

    def __getitem__(self, clips: slice) -> PixelClips:
        """Some of the clips, and only their frames."""
        used_F, place = self.place_BL[clips].unique(return_inverse=True)
        return PixelClips(self.frames_FCHW[used_F], place, self.rows_BL[clips], self.times_s_BL[clips])


@dataclass(frozen=True, slots=True)
class Part:
    """Contexts that go through the networks together, their targets (H of each, one after another) and gaps."""

    context: PixelClips
    target: PixelClips
    gap_BH: Tensor

    def halves(self) -> tuple[Part, ...]:
        """Two parts of half as many contexts; one of one stays."""
        contexts, horizons = self.gap_BH.shape
        bounds = (0, -(-contexts // 2), contexts)
        return tuple(
            Part(self.context[begin:end], self.target[begin * horizons : end * horizons], self.gap_BH[begin:end])
            for begin, end in pairwise(bounds)
            if begin < end
        )


@dataclass(frozen=True, slots=True)
class PixelBatch:
    """What one step sees, as a batch of :mod:`..frames.sampler`, in parts; none if fewer than two videos were read."""

    step: int
    parts: tuple[Part, ...]
    group_R: Tensor | None

    def halved(self) -> PixelBatch:
        """The same in twice as many parts."""
        return PixelBatch(self.step, tuple(half for part in self.parts for half in part.halves()), self.group_R)


@dataclass(frozen=True, slots=True)
class Pick:
    """The pairs of one step: videos and store rows of P contexts and of their H targets, before anything is read."""

    step: int
    video_P: Tensor
    context_PL: Tensor
    target_video_PH: Tensor
    target_PHL: Tensor
    gap_PH: Tensor

    def without(self, videos: Iterable[int]) -> Pick:
        """The pairs that need none of ``videos``."""
        gone = torch.tensor(sorted(videos), dtype=torch.long)
        bad_P = torch.isin(self.video_P, gone) | torch.isin(self.target_video_PH, gone).any(dim=1)
        return self if not bool(bad_P.any()) else self[~bad_P]

    def __getitem__(self, index: Tensor | slice) -> Pick:
        tensors = (self.video_P, self.context_PL, self.target_video_PH, self.target_PHL, self.gap_PH)
        return Pick(self.step, *(tensor[index] for tensor in tensors))

    def clips(self) -> Iterator[tuple[int, list[int]]]:
        """Video and rows of every clip."""
        yield from zip(self.video_P.tolist(), self.context_PL.tolist(), strict=True)
        targets_RL = self.target_PHL.flatten(0, 1)
        yield from zip(self.target_video_PH.flatten().tolist(), targets_RL.tolist(), strict=True)


def picks(sampler: Sampler, first: int, last: int, *, frames: int) -> Iterator[Pick]:
    """The pairs of steps ``first`` to ``last``.

    Args:
        sampler: of the run.
        first: step.
        last: step, exclusive.
        frames: evenly spread ones kept of each clip; 0 = all.
    """
    size = sampler.videos_per_batch * sampler.settings.pairs_per_video
    length = sampler.settings.clip_length
    kept = min(frames or length, length)
    of_clip = torch.arange(kept) * length // kept
    number, found = -1, None
    for step in range(first, last):
        if found is None or step // sampler.batches_per_round != number:
            number = step // sampler.batches_per_round
            found = sampler.round(number)
        begin = size * (step % sampler.batches_per_round)
        rows = slice(begin, begin + size)
        clips = (found.context_PL[rows][:, of_clip], found.target_PHL[rows][..., of_clip])
        yield Pick(step, found.video_P[rows], clips[0], found.target_video_PH[rows], clips[1], found.gap_PH[rows])


@dataclass(slots=True)
class PixelSource:
    """Reads the pixels of a sampler's batches ahead of the steps that want them."""

    sampler: Sampler  # whose pairs; its memory is on the CPU
    videos: Sequence[Video]  # of the sampler's memory, in its order
    root: Path  # folder of the videos
    reading: Reading  # how they are read; as extraction did
    device: torch.device  # where the pixels are wanted
    frames: int = 0  # evenly spread ones of each clip; 0 = all
    parts: int = 1  # that a batch is divided into
    workers: int = 0  # decoding processes; 0 for one a core
    failed: dict[str, str] = field(default_factory=dict)  # why videos were left out, by id
    tick: Callable[[], None] = lambda: None  # called often, where it is safe to stop
    read: Reader = read_wanted  # reads frames of one video in a worker process
    _coming: Iterator[Pick] = field(default_factory=lambda: iter(()))
    _due: deque[Pick] = field(default_factory=deque)
    _open: dict[int, tuple[WantedFrames, list[Tensor]]] = field(default_factory=dict)
    _roads: dict[PlaneLayout, FromPlanes] = field(default_factory=dict)
    _here: dict[int, dict[str, Frames]] = field(default_factory=lambda: defaultdict(dict))

    def batches(self, first: int, last: int) -> Iterator[PixelBatch]:
        """The batches of steps ``first`` to ``last``.

        Raises:
            TooManyFailures: if more than a tenth of the videos (and more than ten) cannot be read.
        """
        self._coming = picks(self.sampler, first, last, frames=self.frames)
        workers = self.workers or len(usable_cores())
        settings = decoding.PoolSettings.feeding(self.device, workers=workers, stall_s=STALL_S, read=self.read)
        with decoding.DecodePool(self.root, (), self.reading, settings, more=self._more) as pool:
            for event in pool:
                self.tick()
                self._take(event)
                yield from self._ready()
        yield from self._ready()

    def _more(self) -> Sequence[Video]:
        """What the next steps want; nothing once there are no more steps."""
        for drawn in self._coming:
            pick = drawn.without(self._gone())
            self._due.append(pick)
            wanted = self._wanted(pick)
            if wanted:
                return wanted
        return ()

    def _wanted(self, pick: Pick) -> list[WantedFrames]:
        rows = defaultdict[int, set[int]](set)
        for video, clip in pick.clips():
            rows[video].update(clip)
        first_V = self.sampler.memory.first_V
        return [
            WantedFrames.of(self.videos[video], pick.step, tuple(row - int(first_V[video]) for row in sorted(found)))
            for video, found in rows.items()
        ]

    def _gone(self) -> list[int]:
        return [number for number, video in enumerate(self.videos) if video.id in self.failed] if self.failed else []

    def _take(self, event: decoding.PoolEvent) -> None:
        match event:
            case decoding.VideoStarted():
                assert isinstance(event.video, WantedFrames)
                self._open[event.key] = (event.video, [])
            case decoding.VideoFrames():
                self._open[event.key][1].append(self._prepared(event))
            case decoding.VideoFinished():
                wanted, pieces = self._open.pop(event.key)
                frames_FCHW = torch.cat(pieces)
                self._here[wanted.step][wanted.id] = dict(zip(wanted.positions, frames_FCHW, strict=True))
            case decoding.VideoFailed():
                self._open.pop(event.key, None)
                self.failed[event.failure.video_id] = event.failure.reason
                self._refuse_many()
            case decoding.Idle():
                pass

    def _prepared(self, event: decoding.VideoFrames) -> Tensor:
        """Frames (n, C, H, W) on the device; the worker's memory is free again."""
        if event.layout is None:
            return event.pixels.to(self.device, copy=True).permute(0, 3, 1, 2)
        if event.layout not in self._roads:
            self._roads[event.layout] = FromPlanes.of(event.layout, self.reading.preprocess, self.device)
        return self._roads[event.layout](event.pixels.to(self.device, copy=True))

    def _refuse_many(self) -> None:
        if len(self.failed) > max(FEW_FAILURES, FAILURE_RATE * len(self.videos)):
            video_id, reason = next(reversed(self.failed.items()))
            raise TooManyFailures(
                f"{len(self.failed)} of {len(self.videos)} training videos cannot be read, which extraction could "
                f"(the last: '{video_id}': {reason}): is the disk with the videos still there?"
            )

    def _ready(self) -> Iterator[PixelBatch]:
        """The next batches, as far as all of their videos are here or will not come."""
        while self._due:
            here = self._here[self._due[0].step]
            wanted = {self.videos[video].id for video, _ in self._due[0].clips()}
            if not wanted <= here.keys() | self.failed.keys():
                return
            pick = self._due.popleft()
            here = self._here.pop(pick.step)
            missing = {video for video, _ in pick.clips() if self.videos[video].id not in here}
            yield self._batch(pick.without(missing), here)

    def _batch(self, pick: Pick, here: dict[str, Frames]) -> PixelBatch:
        pairs = len(pick.video_P)
        if len(set(pick.video_P.tolist())) < 2:
            return PixelBatch(pick.step, (), None)
        bounds = [pairs * part // self.parts for part in range(self.parts + 1)]
        pieces = [pick[slice(*ends)] for ends in pairwise(bounds) if ends[0] < ends[1]]
        horizons = pick.gap_PH.shape[1]
        alone = self.sampler.settings.pairs_per_video == 1 and horizons == 1
        group_R = None if alone else pick.video_P.repeat_interleave(horizons).to(self.device)
        return PixelBatch(pick.step, tuple(self._part(piece, here) for piece in pieces), group_R)

    def _part(self, pick: Pick, here: dict[str, Frames]) -> Part:
        targets = (pick.target_video_PH.flatten(), pick.target_PHL.flatten(0, 1))
        context, target = self._clips(pick.video_P, pick.context_PL, here), self._clips(*targets, here)
        return Part(context, target, pick.gap_PH.to(self.device))

    def _clips(self, video_B: Tensor, rows_BL: Tensor, here: dict[str, Frames]) -> PixelClips:
        """Clips over their different frames, each of which goes through the backbone once."""
        row_F, place = rows_BL.unique(return_inverse=True)
        memory, found = self.sampler.memory, dict[int, Tensor]()
        for video, rows in zip(video_B.tolist(), rows_BL.tolist(), strict=True):
            frames, first = here[self.videos[video].id], int(memory.first_V[video])
            found.update({row: frames[row - first] for row in rows})
        frames_FCHW = torch.stack([found[row] for row in row_F.tolist()])
        times_s_BL = memory.times_s_N[rows_BL]
        passed_s_BL = (times_s_BL - times_s_BL[:, :1]).float()
        placed = (tensor.to(self.device) for tensor in (place.view(rows_BL.shape), rows_BL, passed_s_BL))
        return PixelClips(frames_FCHW, *placed)
