"""Clips that an objective draws of the videos of a round, by the generator of that round alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...data.clips import GapRange, Pairs, Windows, sample_pairs, sample_windows, shortened
from ...data.fit_settings import FitSettings
from ..frames.memory import FrameTensors


@dataclass(frozen=True, slots=True)
class Drawn:
    """K clips of L frames for each of P videos.

    Attributes:
        rows_PKL: rows of their frames in the memory, in the order in which they are shown.
        labels: what is asked about them, each (P, ...).
    """

    rows_PKL: Tensor
    labels: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draw:
    """One round in the making, of P videos that can hold two clips with the smallest gap between.

    Attributes:
        settings: of the fit.
        memory: the frames.
        video_P: positions in the memory.
        generator: source of chance, on the CPU.
        gaps: gaps that are drawn in this round.
    """

    settings: FitSettings
    memory: FrameTensors
    video_P: Tensor
    generator: torch.Generator
    gaps: GapRange

    @property
    def extent_P(self) -> Tensor:
        """How long each video is, in ``fit.unit``."""
        return self.memory.extent_V(self.settings.unit).cpu()[self.video_P]

    def pairs(self) -> Pairs:
        """A context and a future of each video, across a gap that is drawn (eqs. 2 and 3 of MoFore)."""
        return sample_pairs(self.extent_P, span=self.settings.span, gaps=self.gaps, generator=self.generator)

    def windows(self) -> Windows:
        """A clip anywhere in each video, as long as a clip of a pair."""
        span, low = self.settings.span, self.gaps.low
        return sample_windows(self.extent_P, span=span, gap_min=low, generator=self.generator)

    def stretched(self, stretch: Tensor | float) -> Windows:
        """A clip anywhere in each video, (P,) or one times as long as a clip; no longer than its video."""
        extent_P = self.extent_P
        span_P = shortened(extent_P, self.settings.span, self.gaps.low) * stretch
        span_P = torch.clamp(span_P.to(extent_P.dtype).minimum(extent_P), min=1e-6 if _real(extent_P) else 1)
        start_P = self.uniform(len(extent_P)) * (extent_P - span_P + (0 if _real(extent_P) else 1))
        return Windows(start_P.to(extent_P.dtype), span_P)

    def paces(self, among: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Of each video one of these stretches of a clip that fit in it.

        Args:
            among: ascending; the first is taken to fit everywhere.

        Returns:
            Which it is (P,), and how many fit (P,).
        """
        span_P = shortened(self.extent_P, self.settings.span, self.gaps.low).clamp(min=1e-9)
        fit_P = (span_P[:, None] * torch.tensor(among) <= self.extent_P[:, None]).sum(dim=1).clamp(min=1)
        return (self.uniform(len(fit_P)) * fit_P).long(), fit_P

    def rows(self, windows: Windows, length: int | None = None) -> Tensor:
        """Rows (P, L) of the frames of clips; ``length`` is ``fit.clip_length`` if it is not given."""
        device = self.memory.device
        moved = Windows(windows.start_B.to(device), windows.span_B.to(device))
        return self.memory.rows(self.video_P.to(device), moved, length or self.settings.clip_length).cpu()

    def two(self) -> Tensor:
        """Rows (P, 2, L) of two clips anywhere in each video."""
        return torch.stack([self.rows(self.windows()), self.rows(self.windows())], dim=1)

    def pair(self) -> Tensor:
        """Rows (P, 2, L) of a context and its future."""
        pairs = self.pairs()
        return torch.stack([self.rows(pairs.context), self.rows(pairs.future)], dim=1)

    def whole(self, length: int) -> Tensor:
        """Rows (P, length) spread over each whole video."""
        extent_P = self.extent_P
        return self.rows(Windows(torch.zeros_like(extent_P), extent_P), length)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform real numbers in [0, 1)."""
        return torch.rand(shape, dtype=torch.float64, generator=self.generator)

    def choice(self, below: int, *shape: int) -> Tensor:
        """Uniform whole numbers from 0 to ``below`` - 1."""
        return torch.randint(below, shape, generator=self.generator)

    def shuffles(self, length: int) -> Tensor:
        """A permutation (P, length) of each video's own."""
        return self.uniform(len(self.video_P), length).argsort(dim=1)


def _real(extent_P: Tensor) -> bool:
    return extent_P.is_floating_point()
