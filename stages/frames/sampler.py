"""Which pairs a run sees: all of some passes over the videos, drawn at once.

A round is a pure function of (fit.seed, its number), so that a resumed run needs no generator's state to go on
exactly. Small sets of videos get several passes a round, since drawing has a fixed cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...data.clips import GapRange, Pairs, Windows, sample_horizons, sample_pairs, sample_windows
from ...data.fit_settings import FitSettings
from ...data.schedules import curriculum_gap
from ..distributed.process_group import ProcessGroup
from .loading import has_room_for_sums
from .memory import Clips, FrameTensors
from .neighbours import Neighbours

ROUND_PAIRS = 2048  # a round has at least so many, unless the run ends before
GATHER_BYTES = 1 << 20  # of float32 clips that are gathered for several steps at once: they stay in the caches
GPU_GATHER_BYTES = 64 << 20  # the same on a GPU, where a gather is a dozen launches whatever its size
SUMS_REPAY = 2.0  # prefix sums are made when the run reads this many times the store's frames


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step sees: B contexts, and H futures of each (H = 1 but for several horizons).

    Attributes:
        context: B clips.
        target: B x H clips, those of one context one after another.
        gap_BH: gaps in ``fit.unit``, float32.
        group_R: of each of the B x H rows the video, where rows of one video must not be each other's negatives;
            None where all are of different videos.
        kept_BE: what each context keeps of its mapped features, 1 / (1 - p) or 0; None where nothing is dropped.
    """

    context: Clips
    target: Clips
    gap_BH: Tensor
    group_R: Tensor | None
    kept_BE: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws the rounds of a run over the ``usable_V`` videos of ``memory``."""

    settings: FitSettings
    memory: FrameTensors
    usable_V: Tensor
    neighbours: Neighbours | None = None

    @property
    def videos_per_batch(self) -> int:
        """Different videos in a batch; fewer than asked for if there are no more."""
        return self.settings.videos_per_batch(len(self.usable_V))

    @property
    def contexts_per_batch(self) -> int:
        """Contexts in a batch, several of a video included."""
        return self.videos_per_batch * self.settings.pairs_per_video

    @property
    def batches_per_pass(self) -> int:
        """Whole batches of a pass over the videos; the rest waits for the next pass."""
        return len(self.usable_V) // self.videos_per_batch

    @property
    def passes(self) -> int:
        """Passes in a round."""
        return max(1, ROUND_PAIRS // (self.batches_per_pass * self.videos_per_batch))

    @property
    def batches_per_round(self) -> int:
        """Steps that a round serves."""
        return self.passes * self.batches_per_pass

    @property
    def means_wanted(self) -> bool:
        """Whether clips are asked for as means alone."""
        return self.settings.aggregator == "mean"

    def round(self, number: int) -> Round:
        """Draw a round; the same for the same number."""
        generator = torch.Generator().manual_seed(mixed(self.settings.seed, number))
        drawn = _Draw(self, self.drawn_videos(generator), generator, self.gaps(number))
        return drawn.round()

    def drawn_videos(self, generator: torch.Generator) -> Tensor:
        """Positions in the memory of a round's videos, batch after batch."""
        order_P = torch.cat([self._pass_order(generator) for _ in range(self.passes)])
        return self.usable_V.cpu()[order_P].repeat_interleave(self.settings.pairs_per_video)

    def batches(self, first: int, last: int, *, share: slice = slice(None)) -> Iterator[Batch]:
        """The batches of steps ``first`` to ``last``; ``share`` are the contexts of a batch that this process sees."""
        for batches in self.memory.ahead(self._gathers(first, last, share)):
            yield from batches

    def _gathers(self, first: int, last: int, share: slice) -> Iterator[list[Batch]]:
        """The same batches, so many together as are gathered at once."""
        step = first
        while step < last:
            number, begin = divmod(step, self.batches_per_round)
            count = min(self.batches_per_round - begin, last - step)
            yield from self.round(number).gathers(self, begin, begin + count, share)
            step += count

    def _pass_order(self, generator: torch.Generator) -> Tensor:
        """Positions in ``usable_V``, whole batches of them, in the order of this pass."""
        used = self.batches_per_pass * self.videos_per_batch
        if self.neighbours is not None and self.settings.negatives == "lookalike":
            return self.neighbours.batch_order(self.videos_per_batch, generator)[:used]
        return torch.randperm(len(self.usable_V), generator=generator)[:used]

    def gaps(self, number: int) -> GapRange:
        """Gaps that are drawn in a round."""
        settings = self.settings
        share = number * self.batches_per_round / settings.steps
        kind = "log-uniform" if settings.gap_distribution == "log-uniform" else "uniform"
        low = settings.gap_max if settings.gap_distribution == "fixed" else settings.gap_min
        return GapRange(low, curriculum_gap(share, settings), kind)


@dataclass(frozen=True, slots=True)
class Round:
    """All pairs of a round: P contexts, and H targets of each.

    Attributes:
        video_P: the contexts' videos.
        context_PL: rows of the context clips.
        target_video_PH: the targets' videos.
        target_PHL: rows of the target clips.
        gap_PH: gaps, float32.
        kept_PE: of :class:`Batch`.
    """

    video_P: Tensor
    context_PL: Tensor
    target_video_PH: Tensor
    target_PHL: Tensor
    gap_PH: Tensor
    kept_PE: Tensor | None = None

    def gathers(self, sampler: Sampler, first: int, last: int, share: slice) -> Iterator[list[Batch]]:
        """The round's batches ``first`` to ``last``, as many together as are gathered at once."""
        size = sampler.contexts_per_batch
        at_once = max(1, _gather_pairs(sampler, self.gap_PH.shape[1]) // size)
        for begin in range(first, last, at_once):
            end = min(begin + at_once, last)
            rows = _rows_of_share(size, begin, end, share)
            count = len(range(size)[share])
            yield list(self._gathered(sampler, rows, count))

    def _gathered(self, sampler: Sampler, rows: Tensor, size: int) -> Iterator[Batch]:
        horizons = self.gap_PH.shape[1]
        rows = rows.to(self.video_P.device)
        context = _take(sampler, self.video_P[rows], self.context_PL[rows], context=True)
        target = _take(sampler, self.target_video_PH[rows].flatten(), self.target_PHL[rows].flatten(0, 1))
        gap_BH, kept_BE = self.gap_PH[rows], None if self.kept_PE is None else self.kept_PE[rows]
        alone = sampler.settings.pairs_per_video == 1 and horizons == 1
        group_R = None if alone else self.video_P[rows].repeat_interleave(horizons)
        for begin in range(0, len(rows), size):
            here, there = slice(begin, begin + size), slice(begin * horizons, (begin + size) * horizons)
            yield Batch(
                context[here],
                target[there],
                gap_BH[here],
                None if group_R is None else group_R[there],
                None if kept_BE is None else kept_BE[here],
            )


class _Draw:
    """One round in the making."""

    def __init__(self, sampler: Sampler, video_P: Tensor, generator: torch.Generator, gaps: GapRange) -> None:
        self.sampler, self.settings, self.memory = sampler, sampler.settings, sampler.memory
        self.video_P, self.generator, self.gaps = video_P, generator, gaps
        self.extent_V = self.memory.extent_V(self.settings.unit).cpu()
        self.shared_V = self.memory.shared_V(self.settings.unit).cpu()
        self.shared_rows_V = self.memory.shared_V("frames").cpu()

    def round(self) -> Round:
        """Draw contexts, gaps and targets, and find the rows of their frames."""
        target_video_P = self._target_videos()
        if self.settings.predictor == "horizons":
            pairs, gap_PH, future_PH = self._horizons(self.video_P)
        else:
            pairs = self._pairs(self.video_P)
            gap_PH, future_PH = pairs.gap_B[:, None], pairs.future_B[:, None]
        context_PL = self._rows(self.video_P, pairs.context)
        own = target_video_P == self.video_P
        targets = [self._rows(self.video_P, Windows(future_PH[:, h], pairs.span_B)) for h in range(future_PH.shape[1])]
        earliest_P = context_PL[:, -1] + 1 + self.shared_rows_V[self.video_P]
        target_PHL = torch.stack([_after(rows_PL, earliest_P, self._ends(self.video_P)) for rows_PL in targets], dim=1)
        match self.settings.target:
            case "past":
                context_PL, target_PHL = target_PHL[:, -1], context_PL[:, None].expand_as(target_PHL)
            case "other":
                target_PHL = self._anywhere(self.video_P)[:, None].expand_as(target_PHL)
            case _ if not bool(own.all()):
                theirs_PHL = self._futures_of(target_video_P)
                target_PHL = torch.where(own[:, None, None], target_PHL, theirs_PHL)
        device = self.memory.device
        target_video_PH = target_video_P[:, None].expand(target_PHL.shape[:2])
        made = (self.video_P, context_PL, target_video_PH, target_PHL, gap_PH.float())
        kept_PE = self._kept(len(self.video_P))
        drawn = Round(*(tensor.to(device) for tensor in made))
        return drawn if kept_PE is None else replace(drawn, kept_PE=kept_PE.to(device))

    def _kept(self, pairs: int) -> Tensor | None:
        """Inverted dropout (Srivastava et al. 2014), drawn with the pairs, so that a resumed run draws the same."""
        dropped = self.settings.input_dropout
        if not dropped:
            return None
        width = self.settings.mapped_width(self.memory.width)
        return (torch.rand(pairs, width, generator=self.generator) >= dropped).float() / (1.0 - dropped)

    def _target_videos(self) -> Tensor:
        """Whose future is the target of each context."""
        if self.settings.target == "shuffled":
            per = self.sampler.videos_per_batch * self.settings.pairs_per_video
            return self.video_P.view(-1, per).roll(self.settings.pairs_per_video, dims=1).flatten()
        if self.sampler.neighbours is None or not self.settings.neighbours or self.settings.target != "future":
            return self.video_P
        return self.sampler.neighbours.neighbour_of(self.video_P, self.settings.neighbour_share, self.generator)

    def _pairs(self, video_P: Tensor) -> Pairs:
        return sample_pairs(
            self.extent_V[video_P],
            span=self.settings.span,
            gaps=self.gaps,
            generator=self.generator,
            shared_B=self.shared_V[video_P],
        )

    def _horizons(self, video_P: Tensor) -> tuple[Pairs, Tensor, Tensor]:
        gap_H = torch.tensor(self.settings.horizon_gaps, dtype=torch.float64)
        pairs, future_PH = sample_horizons(
            self.extent_V[video_P],
            gap_H,
            span=self.settings.span,
            generator=self.generator,
            shared_B=self.shared_V[video_P],
        )
        return pairs, gap_H.expand(len(video_P), -1), future_PH

    def _futures_of(self, video_P: Tensor) -> Tensor:
        """Rows (P, H, L) of futures of other videos, as if they were forecast there."""
        if self.settings.predictor == "horizons":
            pairs, _, future_PH = self._horizons(video_P)
            columns = [self._rows(video_P, Windows(future_PH[:, h], pairs.span_B)) for h in range(future_PH.shape[1])]
            return torch.stack(columns, dim=1)
        return self._rows(video_P, self._pairs(video_P).future)[:, None]

    def _anywhere(self, video_P: Tensor) -> Tensor:
        drawn = sample_windows(
            self.extent_V[video_P], span=self.settings.span, gap_min=self.gaps.low, generator=self.generator
        )
        return self._rows(video_P, drawn)

    def _rows(self, video_P: Tensor, windows: Windows) -> Tensor:
        device = self.memory.device
        moved = Windows(windows.start_B.to(device), windows.span_B.to(device))
        return self.memory.rows(video_P.to(device), moved, self.settings.clip_length).cpu()

    def _ends(self, video_P: Tensor) -> Tensor:
        return (self.memory.first_V + self.memory.frames_V - 1).cpu()[video_P]


def mixed(seed: int, number: int) -> int:
    """One 63-bit seed from two numbers, spread so that neighbours share nothing (splitmix64)."""
    value = (seed * 0x9E3779B97F4A7C15 + number + 1) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (value ^ (value >> 31)) >> 1


def _after(future_PL: Tensor, earliest_P: Tensor, last_P: Tensor) -> Tensor:
    """The future's rows, moved behind the context's last one where odd frame times would let the two share a frame."""
    return future_PL.maximum(earliest_P.minimum(last_P)[:, None])


def _take(sampler: Sampler, video_B: Tensor, rows_BL: Tensor, *, context: bool = False) -> Clips:
    if not sampler.means_wanted:
        return sampler.memory.clips(rows_BL)
    means = sampler.memory.means(video_B, rows_BL, dense=sampler.settings.dense)
    if context and sampler.settings.sees_history:
        return replace(means, seen=sampler.memory.seen(video_B, rows_BL, sampler.settings))
    return means


def _gather_pairs(sampler: Sampler, horizons: int) -> int:
    """Pairs whose clips fit into :data:`GATHER_BYTES`."""
    frames = 1 if sampler.means_wanted and sampler.memory.prefix_MD is not None else sampler.settings.clip_length
    if sampler.settings.sees_history:
        frames += sampler.settings.history + sampler.settings.clip_length
    at_once = GPU_GATHER_BYTES if sampler.memory.device.type == "cuda" else GATHER_BYTES
    return max(1, at_once // (4 * frames * (1 + horizons) * sampler.memory.width))


def _rows_of_share(size: int, begin: int, end: int, share: slice) -> Tensor:
    """Pairs of the batches ``begin`` to ``end`` that belong to the share."""
    return torch.arange(begin * size, end * size).view(-1, size)[:, share].flatten()


def make_sampler(
    settings: FitSettings,
    memory: FrameTensors,
    trained_V: Tensor,
    *,
    process_group: ProcessGroup | None = None,
    known: Neighbours | None = None,
) -> Sampler:
    """The sampler of a run, with prefix sums and look-alikes where they are wanted.

    Args:
        settings: of the fit.
        memory: the frames; sums that they have already are used.
        trained_V: positions of the videos to draw from.
        process_group: the processes that share the run.
        known: look-alikes that were found already; taken where they are of the same videos.
    """
    process_group, neighbours = process_group or ProcessGroup(), None
    if settings.neighbours or settings.negatives == "lookalike":
        same = (
            known is not None and known.wanted == settings.neighbours and torch.equal(known.usable_V, trained_V.cpu())
        )
        neighbours = (
            known if same else process_group.first(lambda: Neighbours.of(memory, trained_V, settings.neighbours))
        )
    read = 2.0 * settings.steps * settings.batch_size * settings.clip_length
    repaid = settings.aggregator == "mean" and settings.dense and read > SUMS_REPAY * len(memory.frames)
    wanted = repaid and memory.prefix_MD is None
    if wanted and process_group.every(has_room_for_sums(memory, settings.memory_gb)):
        memory = _with_prefix_sums(memory, process_group)
    return Sampler(settings, memory, trained_V, neighbours)


def _with_prefix_sums(memory: FrameTensors, process_group: ProcessGroup) -> FrameTensors:
    """On a processor the sums are there once for all processes of a machine; each GPU has memory of its own."""
    if process_group.size == 1 or memory.device.type != "cpu":
        return memory.with_prefix_sums()
    return replace(memory, prefix_MD=process_group.common(*memory.prefix_shape, fill=memory.sum_into))
